"""How the prompts of the classes lie in the text space; no images are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ke2nt.banks.prompt_embeddings import embed_prompts
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import MissingExtraError, PromptError
from ke2nt.promptlab.vectors import (
    Separability,
    compute_direction_angles,
    compute_separability,
    find_near_pairs,
)
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.catalog import DEFAULT_ENCODER

if TYPE_CHECKING:
    from ke2nt.vlm.base import TextEncoder

__all__ = ["ClassGeometry", "Geometry", "NearPair", "geometry"]

_MIN_STEP = 1e-6  # relative to the anchor; a shorter difference has no direction


@dataclass(frozen=True, slots=True)
class ClassGeometry:
    """One class in the text space.

    Attributes:
        name: Class name.
        prompts: Number of its prompts.
        nearest: The class with the most similar embedding; None for a single class.
        cosine: Cosine with the nearest class.
        distance_to_neutral: Length of t_k − t_0, raw embeddings; 0 for the neutral class itself.
        separability: How well its prompts are separated from the other classes; None if single
            prompts were not embedded.
    """

    name: str
    prompts: int
    nearest: str | None
    cosine: float | None
    distance_to_neutral: float
    separability: Separability | None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "name": self.name,
            "prompts": self.prompts,
            "nearest": self.nearest,
            "cosine": self.cosine,
            "distance_to_neutral": self.distance_to_neutral,
            "prompts_apart": self.separability and self.separability.to_dict(),
        }


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two prompts that the encoder hardly distinguishes.

    Attributes:
        first: A prompt.
        second: Another one.
        cosine: Cosine of their embeddings.
        classes: Their classes. In one class the pair is redundant; in two it confuses them.
    """

    first: str
    second: str
    cosine: float
    classes: tuple[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Geometry of a prompt set under an encoder.

    Attributes:
        prompt_set: Name of the prompt set.
        encoder: Name of the encoder.
        classes: One entry per class, in index order.
        similarity: (K, K) cosines of the class embeddings.
        direction_classes: The M classes that have a direction towards neutral.
        angles: (M, M) degrees between the directions t_0 − t_k, raw embeddings.
        near_duplicates: Pairs of prompts at or above `threshold`, most similar first; None if
            single prompts were not embedded.
        threshold: Cosine from which two prompts count as near-duplicates.
        notes: Caveats for the reader.
    """

    prompt_set: str
    encoder: str
    classes: tuple[ClassGeometry, ...]
    similarity: np.ndarray
    direction_classes: tuple[str, ...]
    angles: np.ndarray
    near_duplicates: tuple[NearPair, ...] | None
    threshold: float
    notes: tuple[str, ...]

    @property
    def margin(self) -> float | None:
        """1 − the highest cosine between two classes; None for a single class."""
        cosines = [c.cosine for c in self.classes if c.cosine is not None]
        return 1 - max(cosines) if cosines else None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        pairs = self.near_duplicates
        return {
            "prompt_set": self.prompt_set,
            "encoder": self.encoder,
            "margin": self.margin,
            "classes": [c.to_dict() for c in self.classes],
            "similarity": self.similarity.tolist(),
            "moves": list(self.direction_classes),
            "angles": self.angles.tolist(),
            "threshold": self.threshold,
            "near_duplicates": pairs and [asdict(pair) for pair in pairs],
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

    If the embeddings of the classes come with the package and the text model is not installed,
    everything but the measures of single prompts is computed.

    Args:
        prompts: A prompt set, the name of a shipped one, or a YAML file.
        encoder: As for `TextBank.build`, as is cache_dir.
        classes: Classes of the set in the requested order; all of them unless given.
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

    # The class embeddings, and the prompts one by one.
    bank = TextBank.build(prompt_set, encoder, cache_dir=cache_dir)
    single = _measure_single_prompts(prompt_set, encoder, threshold, cache_dir)

    # (K, K) cosines of the classes
    unit = bank.embeddings.double().numpy()
    similarity = np.clip(unit @ unit.T, -1, 1)

    # (K, D) differences t_0 − t_k; neutral itself, and texts equal to it, have no direction.
    differences = (bank.neutral_raw - bank.raw).double().numpy()
    distances = np.linalg.norm(differences, axis=1)
    moving = distances >= _MIN_STEP * float(bank.neutral_raw.norm())
    if bank.neutral_index is not None:
        moving[bank.neutral_index] = False

    return Geometry(
        prompt_set=prompt_set.name,
        encoder=encoder if isinstance(encoder, str) else encoder.id,
        classes=_describe_classes(prompt_set, bank.classes, similarity, distances, single),
        similarity=similarity,
        direction_classes=tuple(bank.classes[k] for k in np.flatnonzero(moving)),
        angles=compute_direction_angles(differences[moving]),
        near_duplicates=single.near_duplicates,
        threshold=threshold,
        notes=single.notes,
    )


@dataclass(frozen=True, slots=True)
class _SinglePrompts:
    """Measures of single prompts; None, with a note, if they could not be embedded."""

    separability: Sequence[Separability] | None = None
    near_duplicates: tuple[NearPair, ...] | None = None
    notes: tuple[str, ...] = ()


def _measure_single_prompts(
    prompt_set: PromptSet,
    encoder: str | TextEncoder,
    threshold: float,
    cache_dir: str | Path | None,
) -> _SinglePrompts:
    """Compare the prompts of a set one by one."""
    names = prompt_set.class_names
    rows = [(k, text) for k, name in enumerate(names) for text in prompt_set.render(name)]
    try:
        raw = embed_prompts([text for _, text in rows], encoder, cache_dir)
    except MissingExtraError as error:
        return _SinglePrompts(notes=(f"Single prompts were not compared: {error}",))

    vectors = raw.double().numpy()
    pairs = tuple(
        NearPair(rows[i][1], rows[j][1], cosine, (names[rows[i][0]], names[rows[j][0]]))
        for i, j, cosine in find_near_pairs(vectors, threshold)
    )
    prompt_classes = np.array([k for k, _ in rows])
    return _SinglePrompts(compute_separability(vectors, prompt_classes, len(names)), pairs)


def _describe_classes(
    prompt_set: PromptSet,
    classes: Sequence[str],
    similarity: np.ndarray,
    distances: np.ndarray,
    single: _SinglePrompts,
) -> tuple[ClassGeometry, ...]:
    """Describe each class: its nearest neighbor by cosine (K, K), its distance to neutral (K,)."""
    # A class is not its own neighbor.
    others = np.where(np.eye(len(classes), dtype=bool), -np.inf, similarity)

    entries = []
    for k, name in enumerate(classes):
        nearest = int(others[k].argmax()) if len(classes) > 1 else None

        entries.append(
            ClassGeometry(
                name=name,
                prompts=len(prompt_set.render(name)),
                nearest=None if nearest is None else classes[nearest],
                cosine=None if nearest is None else float(similarity[k, nearest]),
                distance_to_neutral=float(distances[k]),
                separability=single.separability[k] if single.separability else None,
            )
        )
    return tuple(entries)
