"""How the prompts of the classes lie in the text space; no image is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ke2nt.banks.prompt_embeddings import embed_prompts
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import MissingExtraError, PromptError
from ke2nt.promptlab.vectors import Separability, direction_angles, near_pairs, separability
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.catalog import DEFAULT_ENCODER

if TYPE_CHECKING:
    from ke2nt.vlm.base import TextEncoder

__all__ = ["ClassGeometry", "Geometry", "NearPair", "geometry"]


@dataclass(frozen=True, slots=True)
class ClassGeometry:
    """One class in the text space.

    Attributes:
        name: Class name.
        prompts: Number of its prompts.
        nearest: The class with the most similar embedding; None for a single class.
        cosine: Their cosine.
        distance_to_neutral: Length of t_k − t_0, raw embeddings; 0 for the neutral class itself.
        prompts_apart: How its prompts stand apart; None where single prompts were not embedded.
    """

    name: str
    prompts: int
    nearest: str | None
    cosine: float | None
    distance_to_neutral: float
    prompts_apart: Separability | None


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two prompts that the encoder hardly tells apart.

    Attributes:
        first: A prompt.
        second: Another one.
        cosine: Of their embeddings.
        classes: Their classes; two different ones are a danger, the same is a waste.
    """

    first: str
    second: str
    cosine: float
    classes: tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Geometry of a prompt set under an encoder.

    Attributes:
        prompt_set: Its name.
        encoder: The encoder's name.
        classes: One entry a class, in index order.
        similarity: (K, K) cosines of the class embeddings.
        moves: The classes that have a direction towards neutral, M of them.
        angles: (M, M) degrees between the directions t_0 − t_k, raw embeddings.
        near: Pairs of prompts at or above `threshold`, most similar first; None where single
            prompts were not embedded.
        threshold: Cosine from which a pair counts.
        notes: What a reader must know.
    """

    prompt_set: str
    encoder: str
    classes: tuple[ClassGeometry, ...]
    similarity: np.ndarray
    moves: tuple[str, ...]
    angles: np.ndarray
    near: tuple[NearPair, ...] | None
    threshold: float
    notes: tuple[str, ...]

    @property
    def margin(self) -> float | None:
        """1 − the highest cosine between two classes; None for a single class."""
        cosines = [c.cosine for c in self.classes if c.cosine is not None]
        return 1 - max(cosines) if cosines else None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "prompt_set": self.prompt_set,
            "encoder": self.encoder,
            "margin": self.margin,
            "classes": [asdict(c) for c in self.classes],
            "similarity": self.similarity.tolist(),
            "moves": list(self.moves),
            "angles": self.angles.tolist(),
            "threshold": self.threshold,
            "near_duplicates": self.near and [asdict(pair) for pair in self.near],
            "notes": list(self.notes),
        }


def geometry(
    prompts: PromptSet | str | Path,
    encoder: str | TextEncoder = DEFAULT_ENCODER,
    *,
    classes: Sequence[str] | None = None,
    threshold: float = 0.95,
    cache_dir: str | Path | None = None,
) -> Geometry:
    """Measure a prompt set by its text alone.

    Where the embeddings of the classes come with the package and the text model is not installed,
    everything but the metrics of single prompts is measured.

    Args:
        prompts: A prompt set, the name of a shipped one, or a YAML file.
        encoder: As for `TextBank.build`, as is cache_dir.
        classes: Classes of the set in the order wanted; all of them unless given.
        threshold: Cosine in (0, 1] from which two prompts count as near-duplicates.

    Raises:
        PromptError: As for `TextBank.build`, or the threshold is out of range.
        Ke2ntError: As for `TextBank.build`.
    """
    if not 0 < threshold <= 1:
        raise PromptError("the threshold is out of range", expected="(0, 1]", found=threshold)
    prompt_set = prompts if isinstance(prompts, PromptSet) else PromptSet.load(prompts)
    if classes is not None:
        prompt_set = prompt_set.with_classes(list(classes))
    bank = TextBank.build(prompt_set, encoder, cache_dir=cache_dir)
    apart, near, notes = _single_prompts(prompt_set, encoder, threshold, cache_dir)
    unit = bank.embeddings.double().numpy()
    similarity = np.clip(unit @ unit.T, -1, 1)
    steps = (bank.neutral_raw - bank.raw).double().numpy()
    lengths = np.linalg.norm(steps, axis=1)
    still = lengths < 1e-6 * float(bank.neutral_raw.norm())
    moving = [k for k in range(bank.num_classes) if k != bank.neutral_index and not still[k]]
    others = np.where(np.eye(bank.num_classes, dtype=bool), -np.inf, similarity)
    found = []
    for k, name in enumerate(bank.classes):
        near_k = int(others[k].argmax()) if bank.num_classes > 1 else None
        found.append(
            ClassGeometry(
                name=name,
                prompts=len(prompt_set.render(name)),
                nearest=None if near_k is None else bank.classes[near_k],
                cosine=None if near_k is None else float(similarity[k, near_k]),
                distance_to_neutral=float(lengths[k]),
                prompts_apart=apart[k] if apart else None,
            )
        )
    return Geometry(
        prompt_set=prompt_set.name,
        encoder=encoder if isinstance(encoder, str) else encoder.id,
        classes=tuple(found),
        similarity=similarity,
        moves=tuple(bank.classes[k] for k in moving),
        angles=direction_angles(steps[moving]),
        near=near,
        threshold=threshold,
        notes=notes,
    )


def _single_prompts(
    prompt_set: PromptSet,
    encoder: str | TextEncoder,
    threshold: float,
    cache_dir: str | Path | None,
) -> tuple[list[Separability] | None, tuple[NearPair, ...] | None, tuple[str, ...]]:
    names = prompt_set.class_names
    rows = [(k, text) for k, name in enumerate(names) for text in prompt_set.render(name)]
    try:
        raw = embed_prompts([text for _, text in rows], encoder, cache_dir)
    except MissingExtraError as error:
        return None, None, (f"Single prompts were not compared: {error}",)
    vectors = raw.double().numpy()
    near = tuple(
        NearPair(rows[i][1], rows[j][1], cosine, (names[rows[i][0]], names[rows[j][0]]))
        for i, j, cosine in near_pairs(vectors, threshold)
    )
    return separability(vectors, np.array([k for k, _ in rows]), len(names)), near, ()
