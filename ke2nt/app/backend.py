"""The logic behind the page, without any knowledge of the web framework."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from ke2nt.app.face_embedder import EmbeddedFace, FaceEmbedder
from ke2nt.app.face_match import match_face
from ke2nt.app.fragments import render_faces, render_note, render_photo, render_trial
from ke2nt.app.prompt_trials import PromptTrials
from ke2nt.app.vocabulary import Vocabulary, build_prompt_set
from ke2nt.data.images import decode
from ke2nt.errors import ImageReadError, Ke2ntError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.class_prior import ClassPrior
from ke2nt.models.set_prior import assumed_prior
from ke2nt.predict.detections import Detector

__all__ = ["AppBackend", "FacesView", "UploadedImage"]

_WELCOME = (
    "Drop a photo of a face, paste one, or use the camera. It is processed on the machine that "
    "runs this app and is not stored."
)
_NO_FACE = "No face was found. If the image shows little more than a face, clear “Find faces”."


@dataclass(frozen=True, eq=False)
class UploadedImage:
    """An image that was read.

    Attributes:
        faces: Its largest faces, embedded.
        num_hidden: Number of its other faces.
        problem: Why it could not be read, or "".
        photo: The image with numbered boxes around these faces as HTML, or "".
    """

    faces: tuple[EmbeddedFace, ...] = ()
    num_hidden: int = 0
    problem: str = ""
    photo: str = ""


@dataclass(frozen=True, slots=True)
class FacesView:
    """The content of the first tab.

    Attributes:
        html: Cards of the faces, or a note.
        classes: Classes that can be explained.
    """

    html: str
    classes: tuple[str, ...]


class AppBackend:
    """A model whose words can be edited.

    Args:
        name: Name of the model.
        model: A recognizer.
        detector: Finds faces; None to take every image as one face.
        device: Where to compute.
        vocabulary: Turns typed words into text embeddings.
        trials: Prompt sets on a dataset; None if the model has no text head.
    """

    def __init__(
        self,
        name: str,
        model: ExpressionModel,
        *,
        detector: Detector | None,
        device: str,
        vocabulary: Vocabulary,
        trials: PromptTrials | None,
    ) -> None:
        self.name = name
        self.model = model
        self.vocabulary = vocabulary
        self.trials = trials
        self._embedder = FaceEmbedder(model, detector=detector, device=device)

    @property
    def finds_faces(self) -> bool:
        """Whether there is a face detector."""
        return self._embedder.detector is not None

    @property
    def knows_shares(self) -> bool:
        """Whether the model stores the class shares of its training."""
        return ClassPrior.from_card(self.model.card, self.model.classes) is not None

    def read_image(self, path: str | None, *, find: bool) -> UploadedImage | None:
        """Read an image and embed its faces; None if there is no image."""
        if path is None:
            return None
        try:
            pixels = decode(Path(path))
            faces, num_hidden = self._embedder.embed(pixels, find=find)
        except ImageReadError as error:
            # the page must not show where uploads are kept
            return UploadedImage(problem=f"This file cannot be read as an image: {error.found}.")
        except Ke2ntError as error:
            return UploadedImage(problem=str(error))

        # boxes show nothing if the whole image is the face
        show_boxes = find and self.finds_faces and bool(faces)
        photo = render_photo(pixels, [face.box for face in faces]) if show_boxes else ""
        return UploadedImage(tuple(faces), num_hidden, photo=photo)

    def show_faces(
        self,
        image: UploadedImage | None,
        words: str,
        templates: str,
        target: str | None,
        prior: str | None = None,
    ) -> FacesView:
        """Match the faces of an image with words; problems become a note.

        Args:
            image: From `read_image`.
            words: Classes, see `parse_words`.
            templates: Sentences with {class}, one per line.
            target: The class to explain; None for the best class.
            prior: Class shares that the probabilities assume; None for those of the model.
        """
        trained = self.vocabulary.trained
        class_words = trained
        try:
            if self.vocabulary.editable:
                class_words = self.vocabulary.parse(words, templates)
        except Ke2ntError as error:
            return FacesView(render_note(str(error), kind="error"), trained.classes)

        # nothing to show yet, or why not
        if image is None:
            return FacesView(render_note(_WELCOME), class_words.classes)
        if image.problem:
            return FacesView(render_note(image.problem, kind="error"), class_words.classes)
        if not image.faces:
            return FacesView(render_note(_NO_FACE), class_words.classes)

        with assumed_prior(self.model, prior):
            matches = [match_face(self.model, face, class_words, target) for face in image.faces]
        html = render_faces(
            image.faces,
            matches,
            num_hidden=image.num_hidden,
            unvalidated=class_words.bank is not None,
        )
        doubts = class_words.bank.provenance.get("notes", ()) if class_words.bank else ()
        notes = "".join(render_note(str(doubt), kind="warning") for doubt in doubts)
        return FacesView(notes + html, class_words.classes)

    def compare(self, names: Sequence[str], custom_yaml: str) -> str:
        """Score prompt sets on the dataset, as HTML; problems become a note."""
        if self.trials is None:
            note = "This model has a linear head: it does not use prompts."
            return render_note(note, kind="error")
        if not names and not custom_yaml.strip():
            return render_note("Choose at least one prompt set.")

        # the first trial takes a while: it embeds the images
        try:
            return render_trial(self.trials.run(names, custom_yaml))
        except Ke2ntError as error:
            return render_note(str(error), kind="error")

    def to_yaml(self, words: str, templates: str) -> str:
        """Convert the words of the first tab to a prompt set; problems become a comment."""
        try:
            prompts = build_prompt_set(words, templates)
        except Ke2ntError as error:
            return f"# {error}"

        # only the parts that were typed; `default_flow_style=None` keeps lists on one line
        values = {
            "templates": list(prompts.templates),
            "classes": {name: list(items) for name, items in prompts.classes.items()},
        }
        return yaml.safe_dump(
            values, sort_keys=False, allow_unicode=True, width=1000, default_flow_style=None
        )
