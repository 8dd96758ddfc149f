"""The first tab: a face under words that can be edited."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ke2nt.app.backend import AppBackend, UploadedImage

__all__ = ["MODEL_EVENT", "build_face_tab"]

MODEL_EVENT = {
    "concurrency_id": "model",
    "concurrency_limit": 1,
    "api_visibility": "private",
}
"""Options of every event that uses the model: one at a time."""

_MAX_WORDS = 4000  # characters
_STATE_SECONDS = 1800  # an uploaded image is forgotten after half an hour
_PRIORS = [("the model's", ""), ("as in training", "natural"), ("all alike", "even")]
_BEST_CLASS = ("the best class", "")


@dataclass(frozen=True)
class _Components:
    """The gradio components of the tab."""

    image: Any
    find: Any
    words: Any
    templates: Any
    reset: Any
    target: Any
    prior: Any
    photo: Any
    faces: Any
    uploaded: Any  # state: the `UploadedImage`

    @property
    def settings(self) -> list[Any]:
        """Inputs of `AppBackend.show_faces` besides the image."""
        return [self.words, self.templates, self.target, self.prior]

    @property
    def results(self) -> list[Any]:
        """Outputs of every event."""
        return [self.faces, self.target]


def build_face_tab(gradio: Any, backend: AppBackend) -> tuple[Any, Any]:
    """Build the first tab.

    Returns:
        The text boxes of words and templates.
    """
    components = _build_components(gradio, backend)
    _connect(gradio, backend, components)
    return components.words, components.templates


def _build_components(gradio: Any, backend: AppBackend) -> _Components:
    # kept for each visitor, so that edited words do not need the image again
    uploaded = gradio.State(None, time_to_live=_STATE_SECONDS)
    with gradio.Row():
        with gradio.Column(scale=4, min_width=300):
            image, find = _build_image_inputs(gradio, backend)
            words, templates = _build_word_inputs(gradio, backend)
            reset = gradio.Button("Reset to the words of the model", size="sm", elem_id="reset")

        # results on the right, inputs on the left
        with gradio.Column(scale=6, min_width=320):
            target = gradio.Dropdown(
                [_BEST_CLASS, *_list_choices(backend.vocabulary.trained.classes)],
                value="",
                label="Explain",
                elem_id="target",
            )
            prior = _build_prior_input(gradio, backend)
            photo = gradio.HTML("", visible=False, elem_id="photo")
            welcome = backend.show_faces(None, *_get_default_texts(backend), None).html
            faces = gradio.HTML(welcome, elem_id="answer")

    return _Components(image, find, words, templates, reset, target, prior, photo, faces, uploaded)


def _build_image_inputs(gradio: Any, backend: AppBackend) -> tuple[Any, Any]:
    image = gradio.Image(
        type="filepath",
        image_mode=None,
        sources=["upload", "webcam", "clipboard"],
        label="Image",
        height=270,
        buttons=[],
        elem_id="picture",
    )

    # gradio would open the file and fail on a broken one, without a word on the page
    image.preprocess = _get_path

    # without a detector the box is shown, but cannot be ticked
    no_detector = "No face detector is installed: the whole image is taken as the face."
    find = gradio.Checkbox(
        backend.finds_faces,
        label="Find faces",
        interactive=backend.finds_faces,
        info=None if backend.finds_faces else no_detector,
        elem_id="find",
    )
    return image, find


def _get_path(upload: Any) -> str | None:
    return None if upload is None else upload.path


def _build_word_inputs(gradio: Any, backend: AppBackend) -> tuple[Any, Any]:
    # a linear head shows its classes, but they cannot be changed
    vocabulary = backend.vocabulary
    words = gradio.Textbox(
        vocabulary.default_words,
        label="Classes",
        info="One per line; “joy: happy, glad” gives a class several words.",
        lines=6,
        max_length=_MAX_WORDS,
        interactive=vocabulary.editable,
        elem_id="words",
    )

    templates = gradio.Textbox(
        vocabulary.default_templates,
        label="Templates",
        info="One per line, with {class} in place of the word.",
        lines=2,
        max_length=_MAX_WORDS,
        interactive=vocabulary.editable,
        elem_id="templates",
    )
    return words, templates


def _build_prior_input(gradio: Any, backend: AppBackend) -> Any:
    # only a model that stores the class shares of its training can assume others
    unknown = "This model does not store the class shares of its training."
    return gradio.Dropdown(
        _PRIORS,
        value="",
        label="Class shares",
        info="Which expressions are how frequent; of the model's own classes."
        if backend.knows_shares
        else unknown,
        interactive=backend.knows_shares,
        elem_id="prior",
    )


def _connect(gradio: Any, backend: AppBackend, components: _Components) -> None:
    """Update the faces whenever an input changes."""

    def show(
        uploaded: UploadedImage | None, words: str, templates: str, target: str, prior: str
    ) -> tuple[str, Any]:
        view = backend.show_faces(uploaded, words, templates, target or None, prior or None)

        # a class that was removed is no longer explained
        value = target if target in view.classes else ""
        choices = [_BEST_CLASS, *_list_choices(view.classes)]
        return view.html, gradio.update(choices=choices, value=value)

    def read(
        path: str | None, find: bool, *settings: str
    ) -> tuple[UploadedImage | None, Any, str, Any]:
        uploaded = backend.read_image(path, find=find)
        photo = uploaded.photo if uploaded else ""
        return uploaded, gradio.update(value=photo, visible=bool(photo)), *show(uploaded, *settings)

    def reset() -> tuple[str, str, str, str]:
        return *_get_default_texts(backend), "", ""

    # gradio's "once" would drop what is typed while a result is computed
    event = MODEL_EVENT | {"trigger_mode": "always_last"}
    quick_event = event | {"show_progress": "hidden"}

    gradio.on(
        [components.image.change, components.find.input],
        read,
        [components.image, components.find, *components.settings],
        [components.uploaded, components.photo, *components.results],
        show_progress="minimal",
        show_progress_on=components.faces,
        **event,
    )
    # `change` also comes when text is pasted or when a phone's keyboard completes a word
    gradio.on(
        [
            *(components.words.change, components.templates.change),
            *(components.target.input, components.prior.input),
        ],
        show,
        [components.uploaded, *components.settings],
        components.results,
        **quick_event,
    )

    # the words may be unchanged, and only the target was another one
    reset_event = components.reset.click(reset, None, components.settings, api_visibility="private")
    reset_event.then(
        show, [components.uploaded, *components.settings], components.results, **quick_event
    )


def _get_default_texts(backend: AppBackend) -> tuple[str, str]:
    return backend.vocabulary.default_words, backend.vocabulary.default_templates


def _list_choices(classes: Sequence[str]) -> list[tuple[str, str]]:
    """(label, value) of each class."""
    return [(name, name) for name in classes]
