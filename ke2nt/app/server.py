"""The page itself; the one file that knows gradio."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ke2nt.app.backend import AppBackend, Seen
from ke2nt.app.html_parts import STYLE, note_html
from ke2nt.errors import ConfigError
from ke2nt.runtime.optional import import_optional

__all__ = ["MAX_UPLOAD", "serve"]

MAX_UPLOAD = 20 * 1024 * 1024
"""Bytes of the largest picture that is taken."""

_SYSTEM = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif"]
_MONO = ["ui-monospace", "Menlo", "Consolas", "monospace"]
_ANSWER = ("the answer", "")
_MOST_WORDS = 4000  # characters


def serve(
    lab: AppBackend,
    *,
    folder: Path,
    host: str,
    port: int | None,
    browser: bool,
    ready: Callable[[str], None],
) -> None:
    """Serve the lab until the process is interrupted or terminated.

    Args:
        lab: What the page asks.
        folder: Where uploads lie while they are used; the caller throws it away.
        host: Address to listen on.
        port: Port to listen on; the first free one from 7860 unless given.
        browser: Whether to open a browser.
        ready: Called with the URL once the page can be opened.

    Raises:
        MissingExtraError: gradio is not installed.
        ConfigError: The address or port cannot be used.
    """
    # Read when gradio is imported: no telemetry, nothing kept in the browser or outside the folder.
    os.environ |= {
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_RUN_HISTORY": "False",
        "GRADIO_TEMP_DIR": str(folder),
    }
    gr: Any = import_optional("gradio", extra="app", purpose="the lab in the browser")
    page = _page(gr, lab)
    page.queue(api_open=False, max_size=32)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            max_file_size=MAX_UPLOAD,
            footer_links=[],
            enable_monitoring=False,
            theme=gr.themes.Base(
                primary_hue="blue",
                neutral_hue="slate",
                radius_size="lg",
                font=_SYSTEM,
                font_mono=_MONO,
            ),
            css_paths=STYLE,
        )
    except OSError as error:
        raise ConfigError(
            f"the lab cannot listen on {host}" + (f", port {port}" if port else ""),
            expected="an address of this machine and a port that is not in use",
            hint="Name others with --host and --port.",
        ) from error
    try:
        ready(url)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.close(verbose=False)


def _page(gr: Any, lab: AppBackend) -> Any:
    with gr.Blocks(
        title=f"{lab.name} · ke2nt app", delete_cache=(60, 600), analytics_enabled=False
    ) as page:
        gr.HTML(
            '<header class="ke-head"><h1>ke2nt app</h1><p>Change the words and see what the model '
            f"makes of a face. Model: <b>{escape(lab.name)}</b></p></header>"
        )
        with gr.Tab("A face"):
            words = _face_tab(gr, lab)
        with gr.Tab("Prompt sets on a dataset"):
            _sets_tab(gr, lab, words)
    return page


def _face_tab(gr: Any, lab: AppBackend) -> list[Any]:
    """The first tab; gives the boxes of words and templates."""
    vocabulary = lab.vocabulary
    seen = gr.State(None, time_to_live=1800)
    with gr.Row():
        with gr.Column(scale=4, min_width=300):
            picture = gr.Image(
                type="filepath",
                image_mode=None,
                sources=["upload", "webcam", "clipboard"],
                label="Picture",
                height=270,
                buttons=[],
                elem_id="picture",
            )
            find = gr.Checkbox(
                lab.finds_faces,
                label="Find the faces in it",
                interactive=lab.finds_faces,
                info=None if lab.finds_faces else "There is no face detector: it is taken whole.",
                elem_id="find",
            )
            words = gr.Textbox(
                vocabulary.default_words,
                label="Classes",
                info="One a line; “joy: happy, glad” gives a class several words.",
                lines=6,
                max_length=_MOST_WORDS,
                interactive=vocabulary.editable,
                elem_id="words",
            )
            templates = gr.Textbox(
                vocabulary.default_templates,
                label="Templates",
                info="One a line, with {class} where the word goes.",
                lines=2,
                max_length=_MOST_WORDS,
                interactive=vocabulary.editable,
                elem_id="templates",
            )
            reset = gr.Button("The model’s own words again", size="sm", elem_id="reset")
        with gr.Column(scale=6, min_width=320):
            target = gr.Dropdown(
                [_ANSWER, *_choices(vocabulary.own.classes)],
                value="",
                label="Show what speaks for",
                elem_id="target",
            )
            answer = gr.HTML(lab.answer(None, *_defaults(lab), None).html, elem_id="answer")

    def look(path: str | None, find: bool, *asked: str) -> tuple[Seen | None, str, Any]:
        found = lab.look(path, find=find)
        return found, *show(found, *asked)

    def show(found: Seen | None, words: str, templates: str, target: str) -> tuple[str, Any]:
        given = lab.answer(found, words, templates, target or None)
        kept = target if target in given.classes else ""
        return given.html, gr.update(choices=[_ANSWER, *_choices(given.classes)], value=kept)

    asked, shown = [words, templates, target], [answer, target]
    settings = {
        "concurrency_id": "model",
        "concurrency_limit": 1,
        "trigger_mode": "always_last",  # "once" would drop what comes while an answer is awaited
        "api_visibility": "private",
    }
    quick = settings | {"show_progress": "hidden"}
    gr.on(
        [picture.change, find.input],
        look,
        [picture, find, *asked],
        [seen, *shown],
        show_progress="minimal",
        show_progress_on=answer,
        **settings,
    )
    gr.on([words.input, templates.input, target.input], show, [seen, *asked], shown, **quick)
    reset.click(lambda: (*_defaults(lab), ""), None, asked, api_visibility="private").then(
        show, [seen, *asked], shown, **quick
    )
    return [words, templates]


def _sets_tab(gr: Any, lab: AppBackend, words: list[Any]) -> None:
    trials = lab.trials
    if trials is None:
        gr.HTML(note_html("This model has a linear head: it knows no words but its classes."))
        return
    names = trials.names
    with gr.Row():
        with gr.Column(scale=3, min_width=280):
            gr.HTML(
                f'<p class="ke-lead">On {escape(trials.title)}. The images are embedded once, when '
                "they are first needed; after that any words take a moment.</p>"
            )
            chosen = gr.CheckboxGroup(
                names, value=[n for n in ("paper", "simple") if n in names], label="Prompt sets"
            )
            own = gr.Textbox(
                "",
                label="A set of your own",
                info="YAML; left blank, it takes no part.",
                lines=8,
                max_length=20_000,
                elem_id="own",
            )
            start = gr.Button(
                "Take over the words of the first tab", size="sm", elem_id="take-over"
            )
            compare = gr.Button("Compare", variant="primary", elem_id="compare")
        with gr.Column(scale=7, min_width=320):
            result = gr.HTML(note_html("Choose prompt sets and compare them."), elem_id="trial")
    start.click(lab.as_yaml, words, own, api_visibility="private")
    compare.click(
        lab.compare,
        [chosen, own],
        result,
        concurrency_id="model",
        concurrency_limit=1,
        api_visibility="private",
    )


def _defaults(lab: AppBackend) -> tuple[str, str]:
    return lab.vocabulary.default_words, lab.vocabulary.default_templates


def _choices(classes: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, name) for name in classes]
