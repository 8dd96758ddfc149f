"""The second tab: prompt sets compared on a dataset."""

from __future__ import annotations

from typing import Any

from ke2nt.app.backend import AppBackend
from ke2nt.app.face_tab import MODEL_EVENT
from ke2nt.app.fragments import render_data_note, render_note

__all__ = ["build_sets_tab"]

_PRESELECTED = ("paper", "simple")
_MAX_YAML = 20_000  # characters


def build_sets_tab(gradio: Any, backend: AppBackend, words: Any, templates: Any) -> None:
    """Build the second tab.

    Args:
        gradio: The library.
        backend: The logic behind the page.
        words: Text box of the first tab.
        templates: Text box of the first tab.
    """
    trials = backend.trials
    if trials is None:
        gradio.HTML(render_note("This model has a linear head: its classes cannot be changed."))
        return

    # inputs on the left, the result on the right
    with gradio.Row():
        with gradio.Column(scale=3, min_width=280):
            gradio.HTML(render_data_note(trials.title))
            names = gradio.CheckboxGroup(
                trials.names,
                value=[name for name in _PRESELECTED if name in trials.names],
                label="Prompt sets",
            )
            custom_yaml = gradio.Textbox(
                "",
                label="Custom prompt set",
                info="YAML; leave it blank for none.",
                lines=8,
                max_length=_MAX_YAML,
                elem_id="own",
            )
            copy = gradio.Button("Copy the words of the first tab", size="sm", elem_id="take-over")
            compare = gradio.Button("Compare", variant="primary", elem_id="compare")

        with gradio.Column(scale=7, min_width=320):
            hint = render_note("Choose prompt sets and compare them.")
            result = gradio.HTML(hint, elem_id="trial")

    copy.click(backend.to_yaml, [words, templates], custom_yaml, api_visibility="private")
    compare.click(backend.compare, [names, custom_yaml], result, **MODEL_EVENT)
