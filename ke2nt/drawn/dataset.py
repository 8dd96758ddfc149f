"""A dataset of drawn faces: every sample can be drawn alone, and splits share no identity."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.drawn.drawn_face import DrawnFace
from ke2nt.drawn.expression import sample_action_units
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.render import render_face
from ke2nt.drawn.style import current_style
from ke2nt.errors import DataError
from ke2nt.labels import CANONICAL, NEUTRAL, canonical_name
from ke2nt.runtime.progress import track
from ke2nt.runtime.seeding import derive_seed
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["SPLITS", "DrawnFaces"]

SPLITS: Mapping[str, float] = {"train": 0.7, "val": 0.15, "test": 0.15}
_CHUNK = 64


@dataclass(frozen=True)
class DrawnFaces:
    """A deterministic set of drawn faces.

    Class, identity, style, expression and view of each sample follow from `seed` and the sample's
    index alone. Classes are balanced, and every identity shows every class. Two sets that differ
    in `size` or `styles` only hold the same people with the same expressions and poses.

    Attributes:
        count: Number of faces over all splits.
        seed: Seed of the whole set.
        size: Side in pixels, 16 to 1024.
        styles: Drawing styles, one drawn for each sample.
        identities: Number of people; by default one for every two faces of each class.
        classes: Label set in index order.
        min_intensity: Expressions other than neutral have intensities uniform in [this, 1].
        occlusion: Share of faces that something covers in part, 0 to 1.

    Raises:
        DataError: A value is out of range or a name unknown.
        LabelError: A class is not a known expression.
    """

    count: int
    seed: int = 0
    size: int = 64
    styles: tuple[str, ...] = ("photo",)
    identities: int | None = None
    classes: tuple[str, ...] = CANONICAL
    min_intensity: float = 0.4
    occlusion: float = 0.08
    _people: dict[int, Identity] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _splits: dict[int, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        classes = tuple(canonical_name(name) for name in self.classes)
        if not classes or len(set(classes)) != len(classes):
            raise DataError("classes must be different expressions", found=list(classes))
        _check_range("count", self.count, 1, 10_000_000, whole=True)

        # Values that are derived from others, or under their current names
        identities = self.identities
        if identities is None:
            identities = max(10, round(self.count / (2 * len(classes))))
        if not self.styles:
            raise DataError("at least one drawing style is needed", found="none")
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "identities", identities)
        object.__setattr__(self, "styles", tuple(current_style(name) for name in self.styles))

        _check_range("size", self.size, 16, 1024, whole=True)
        _check_range("identities", self.identities, 3, 10_000_000, whole=True)
        _check_range("min_intensity", self.min_intensity, 0, 1)
        _check_range("occlusion", self.occlusion, 0, 1)

    def __len__(self) -> int:
        return self.count

    def label_of(self, index: int) -> int:
        """Class index of a sample."""
        self._check_index(index)
        return index % len(self.classes)

    def identity_of(self, index: int) -> int:
        """Number of the person in a sample."""
        self._check_index(index)
        return index // len(self.classes) % self.identity_count

    @property
    def identity_count(self) -> int:
        """Number of people who appear; fewer than `identities` where `count` is too small."""
        return min(self.identities or 1, -(-self.count // len(self.classes)))

    def person(self, number: int) -> Identity:
        """The identity with a number."""
        if number not in self._people:
            rng = np.random.default_rng(derive_seed(self.seed, "identity", number))
            self._people[number] = Identity.sample(rng)
        return self._people[number]

    def split_of(self, number: int) -> str:
        """The split of an identity and all of its faces."""
        if not self._splits:
            people = self.identity_count
            rng = np.random.default_rng(derive_seed(self.seed, "split", people))
            order = rng.permutation(people).tolist()

            # val and test hold at least one person each, train the rest
            val = max(1, round(SPLITS["val"] * people))
            test = max(1, round(SPLITS["test"] * people))
            self._splits.update(dict.fromkeys(order, "train"))
            self._splits.update(dict.fromkeys(order[:val], "val"))
            self._splits.update(dict.fromkeys(order[val : val + test], "test"))
        return self._splits[number]

    def indices(self, split: str) -> list[int]:
        """Indices of the samples of a split, ascending.

        Raises:
            DataError: Unknown split, or fewer people than splits.
        """
        if split not in SPLITS:
            raise DataError(
                f"unknown split {split!r}",
                expected=f"one of {', '.join(SPLITS)}",
                hint=did_you_mean(split, SPLITS),
            )
        if self.identity_count < len(SPLITS):
            raise DataError(
                "too few faces for a split by identity",
                expected=f"a count of {2 * len(self.classes) + 1} or more",
                found=self.count,
            )
        return [i for i in range(self.count) if self.split_of(self.identity_of(i)) == split]

    def render_sample(
        self,
        index: int,
        *,
        masks: bool = False,
        expression: str | None = None,
        intensity: float | None = None,
        style: str | None = None,
    ) -> DrawnFace:
        """Draw one sample; it depends on nothing but this set's values and the index.

        Args:
            index: 0 to count − 1.
            masks: Also draw the region masks.
            expression, intensity, style: Replace those of the sample: the same person in the same
                pose and light shows something else, or is drawn otherwise. The label of an
                expression outside `classes` is −1.

        Raises:
            DataError: The index is out of range, or the style unknown.
            LabelError: The expression is unknown, or the intensity out of range.
        """
        number = self.identity_of(index)
        person = self.person(number)

        # Drawn whether or not they are replaced, so that the rest stays the same
        rng = np.random.default_rng(derive_seed(self.seed, "sample", index))
        sample_intensity, style_position = rng.uniform(self.min_intensity, 1), rng.random()

        name, label = self._resolve_expression(index, expression)
        if name == NEUTRAL:
            intensity = 0.0
        elif intensity is None:
            intensity = float(sample_intensity)
        style = current_style(style or self.styles[int(style_position * len(self.styles))])

        units = sample_action_units(name, intensity, rng)
        image, regions = render_face(
            person,
            units,
            seed=derive_seed(self.seed, "view", index),
            size=self.size,
            style=style,
            occlusion=self.occlusion,
            masks=masks,
        )

        return DrawnFace(
            index=index,
            name=f"{index:06d}-id{number:05d}",
            image=image,
            label=label,
            expression=name,
            intensity=intensity,
            style=style,
            subject=f"id{number:05d}",
            attributes={**person.attributes, "intensity": f"{intensity:.3f}", "style": style},
            action_units=units,
            masks=regions,
        )

    def render(
        self, indices: Sequence[int], *, masks: bool = False, workers: int = 1, quiet: bool = True
    ) -> Iterator[DrawnFace]:
        """Draw samples in the given order; the images do not depend on the number of workers."""
        faces = self._render_here(indices, masks=masks)
        chunks = [list(indices[i : i + _CHUNK]) for i in range(0, len(indices), _CHUNK)]
        if workers > 1 and len(chunks) > 1:
            faces = self._render_in_workers(chunks, masks=masks, workers=workers)
        yield from track(faces, "drawing faces", total=len(indices), quiet=quiet)

    def to_split(self, split: str, *, workers: int = 1, quiet: bool = True) -> FaceSplit:
        """The samples of a split with their pixels in memory.

        Args:
            split: "train", "val" or "test"; 70, 15 and 15 % of the identities.
            workers: Worker processes.
            quiet: No progress on stderr.
        """
        faces = self.render(self.indices(split), workers=workers, quiet=quiet)
        samples = tuple(
            FaceSample(
                name=face.name,
                source=face.image,
                label=face.label,
                subject=face.subject,
                attributes=face.attributes,
            )
            for face in faces
        )
        return FaceSplit("drawn", split, self.classes, samples)

    def _check_index(self, index: int) -> None:
        if not 0 <= index < self.count:
            raise DataError(
                "no such face", expected=f"an index from 0 to {self.count - 1}", found=index
            )

    def _resolve_expression(self, index: int, expression: str | None) -> tuple[str, int]:
        """Name and label of the expression to draw: the requested one, or the sample's."""
        if expression is None:
            label = self.label_of(index)
            return self.classes[label], label
        name = canonical_name(expression)
        return name, self.classes.index(name) if name in self.classes else -1

    def _render_here(self, indices: Sequence[int], *, masks: bool) -> Iterator[DrawnFace]:
        return (self.render_sample(i, masks=masks) for i in indices)

    def _render_in_workers(
        self, chunks: Sequence[list[int]], *, masks: bool, workers: int
    ) -> Iterator[DrawnFace]:
        draw = partial(_render_chunk, self, masks=masks)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
            for faces in pool.map(draw, chunks):
                yield from faces


def _render_chunk(faces: DrawnFaces, indices: list[int], *, masks: bool) -> list[DrawnFace]:
    return [faces.render_sample(i, masks=masks) for i in indices]


def _check_range(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    types = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, types) or not low <= value <= high:
        number = "a whole number" if whole else "a number"
        raise DataError(
            f"{name} is out of range", expected=f"{number} from {low} to {high}", found=value
        )
