"""Sentences about FER+ faces, and prompts in words that no sentence has.

A face is described by its votes: a plain sentence names one expression, a mixed one two, and a
description says what the face does. `PROMPTS` holds words and sentences for zero-shot recognition:
the "met" ones are in the sentences, the "unmet" ones are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.labels import CANONICAL
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.prompt_set import PromptSet

__all__ = ["PROMPTS", "Caption", "CaptionChooser", "all_captions"]

_MET = {
    "neutral": ("neutral", "expressionless", "blank"),
    "happiness": ("happy", "smiling", "cheerful"),
    "surprise": ("surprised", "astonished", "startled"),
    "sadness": ("sad", "unhappy", "gloomy"),
    "anger": ("angry", "annoyed", "furious"),
    "disgust": ("disgusted", "repelled", "nauseated"),
    "fear": ("fearful", "scared", "frightened"),
    "contempt": ("contemptuous", "scornful", "disdainful"),
}
_UNMET = {
    "neutral": ("composed", "indifferent", "impassive"),
    "happiness": ("joyful", "delighted", "glad"),
    "surprise": ("amazed", "stunned", "shocked"),
    "sadness": ("sorrowful", "miserable", "mournful"),
    "anger": ("irate", "enraged", "outraged"),
    "disgust": ("revolted", "sickened", "repulsed"),
    "fear": ("terrified", "afraid", "panicked"),
    "contempt": ("derisive", "mocking", "dismissive"),
}
_TEMPLATES = (
    "a photo of a {class} person.",
    "a photo of a {class} face.",
    "a black and white picture of a {class} man.",
    "a black and white picture of a {class} woman.",
    "a close-up of somebody who feels {class}.",
    "{class}",
)
_UNMET_TEMPLATES = (
    "this looks like {class} behavior.",
    "an actor in a film who seems {class}.",
    "everyone can see how {class} they are.",
)
_MIXED = (
    "a photo of a mostly {first}, slightly {second} person.",
    "a {first} face that is a little {second}.",
    "somebody who feels {first} and also somewhat {second}.",
)
_DESCRIPTIONS = {
    "neutral": ("a face that does not move.", "the mouth is closed and the forehead is smooth."),
    "happiness": ("a big smile that shows the teeth.", "the mouth is laughing."),
    "surprise": ("the mouth is open and the eyes are round.", "the brows shoot up."),
    "sadness": ("the corners of the mouth hang down.", "eyes that are about to cry."),
    "anger": ("the brows are knitted and the teeth are clenched.", "an aggressive stare."),
    "disgust": ("the nose is wrinkled as at a bad smell.", "the tongue is out and the eyes shut."),
    "fear": ("the eyes are wide and the mouth is tense.", "a face that screams for help."),
    "contempt": ("a smirk on one side of the mouth.", "one brow is up and the mouth is crooked."),
}

PROMPTS = {
    "met": PromptSet(name="met", templates=_TEMPLATES[:2], classes=_MET, anchor="neutral"),
    "unmet": PromptSet(name="unmet", templates=_UNMET_TEMPLATES, classes=_UNMET, anchor="neutral"),
}

_DESCRIBED = 0.25  # share of descriptions
_MENTIONED = 0.15  # smallest share of votes of a second expression that is named


@dataclass(frozen=True)
class Caption:
    """A sentence, and the positions of the one or two expressions that it says."""

    text: str
    first: int
    second: int | None
    describes: bool = False


def all_captions() -> list[Caption]:
    """Return every sentence that training can meet."""
    captions = []
    for first, name in enumerate(CANONICAL):
        captions += [
            Caption(fill_template(template, word), first, None)
            for template in _TEMPLATES
            for word in _MET[name]
        ]
        captions += [Caption(text, first, None, True) for text in _DESCRIPTIONS[name]]
        captions += [
            Caption(_mix(template, one, other), first, second)
            for second, second_name in enumerate(CANONICAL)
            if second != first
            for template in _MIXED
            for one, other in zip(_MET[name], _MET[second_name], strict=True)
        ]
    return captions


class CaptionChooser:
    """Draws a sentence for a face from its votes.

    Args:
        captions: Those of `all_captions`.
    """

    def __init__(self, captions: list[Caption]) -> None:
        self._positions: dict[tuple[int, int | None, bool], list[int]] = {}
        for position, caption in enumerate(captions):
            key = (caption.first, caption.second, caption.describes)
            self._positions.setdefault(key, []).append(position)

    def choose(self, votes: np.ndarray, rng: np.random.Generator) -> int:
        """Return the position of a sentence.

        Args:
            votes: (K,) shares of the votes; the sentence's first expression is drawn from them.
            rng: Chooses.
        """
        first = int(rng.choice(len(votes), p=votes / votes.sum()))
        others = np.where(np.arange(len(votes)) == first, 0, votes)
        second = int(others.argmax()) if others.max() >= _MENTIONED else None

        # every kind of sentence for faces that allow it
        describes = bool(rng.random() < _DESCRIBED)
        if describes or rng.random() < 0.5:
            second = None
        return int(rng.choice(self._positions[first, second, describes]))


def _mix(template: str, first: str, second: str) -> str:
    """A sentence with two words."""
    start, end = template.split("{second}")
    return fill_template(start.replace("{first}", "{class}"), first) + second + end
