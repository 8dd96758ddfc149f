"""What the page asks for, without any knowledge of how it is drawn in a browser."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ke2nt.app.face_embedder import EmbeddedFace, FaceEmbedder
from ke2nt.app.face_match import match_face
from ke2nt.app.html_parts import faces_html, note_html, trial_html
from ke2nt.app.prompt_trials import PromptTrials
from ke2nt.app.vocabulary import Vocabulary, prompt_set_of
from ke2nt.errors import Ke2ntError
from ke2nt.models.base import ExpressionModel
from ke2nt.predict.detections import Detector

__all__ = ["Answer", "AppBackend", "Seen"]

_WELCOME = (
    "Drop a photo of a face, paste one, or use the camera. It is read on the machine that runs "
    "this lab and is not kept."
)
_NO_FACE = "No face was found. If the picture is a face and little else, untick “Find the faces”."


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that was read.

    Attributes:
        faces: Its largest faces, embedded.
        left_out: How many more it has.
        problem: Why it could not be read, or "".
    """

    faces: tuple[EmbeddedFace, ...] = ()
    left_out: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the first tab shows.

    Attributes:
        html: Cards of the faces, or a note.
        classes: Classes that can be looked into.
    """

    html: str
    classes: tuple[str, ...]


class AppBackend:
    """A model with words that can be edited.

    Args:
        name: What the model is called.
        model: A recognizer.
        detector: Finds faces; None where every picture is one.
        device: Where to compute.
        vocabulary: Turns typed words into text embeddings.
        trials: Prompt sets on a dataset; None where the model has no text head.
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
        self._reader = FaceEmbedder(model, detector=detector, device=device)

    @property
    def finds_faces(self) -> bool:
        """Whether there is a face detector."""
        return self._reader.detector is not None

    def look(self, picture: str | None, *, find: bool) -> Seen | None:
        """Read a picture; None where there is none."""
        if picture is None:
            return None
        try:
            faces, left_out = self._reader.read(Path(picture), find=find)
        except Ke2ntError as error:
            return Seen(problem=str(error).replace(f" (in {picture})", ""))
        return Seen(tuple(faces), left_out)

    def answer(self, seen: Seen | None, words: str, templates: str, target: str | None) -> Answer:
        """Match the faces with the words; problems become a note on the page."""
        own = self.vocabulary.own
        try:
            asked = self.vocabulary.of(words, templates) if self.vocabulary.editable else own
        except Ke2ntError as error:
            return Answer(note_html(str(error), kind="error"), own.classes)
        if seen is None:
            return Answer(note_html(_WELCOME), asked.classes)
        if seen.problem:
            return Answer(note_html(seen.problem, kind="error"), asked.classes)
        if not seen.faces:
            return Answer(note_html(_NO_FACE), asked.classes)
        readings = [match_face(self.model, face, asked, target) for face in seen.faces]
        html = faces_html(
            seen.faces, readings, left_out=seen.left_out, unvalidated=asked.bank is not None
        )
        return Answer(html, asked.classes)

    def compare(self, names: Sequence[str], yaml: str) -> str:
        """Score prompt sets on the dataset, as HTML; problems become a note."""
        if self.trials is None:
            return note_html("This model has a linear head: no prompts can be tried.", kind="error")
        if not names and not yaml.strip():
            return note_html("Choose at least one prompt set.")
        try:
            return trial_html(self.trials.run(names, yaml))
        except Ke2ntError as error:
            return note_html(str(error), kind="error")

    def as_yaml(self, words: str, templates: str) -> str:
        """The words of the first tab as a prompt set."""
        try:
            prompts = prompt_set_of(words, templates, name="yours")
        except Ke2ntError as error:
            return f"# {error}"
        return f"templates:\n{_yaml_list(prompts.templates)}classes:\n" + "".join(
            f"  {_yaml_text(name)}: [{', '.join(map(_yaml_text, items))}]\n"
            for name, items in prompts.classes.items()
        )


def _yaml_list(texts: Sequence[str]) -> str:
    return "".join(f"  - {_yaml_text(text)}\n" for text in texts)


def _yaml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # JSON is YAML
