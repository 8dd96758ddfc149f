"""A dataset of drawn faces: any sample can be made alone, splits share no identity."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.drawn.expression import ActionUnits, sample_action_units
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.render import render_face
from ke2nt.drawn.style import STYLES
from ke2nt.errors import DataError
from ke2nt.labels import CANONICAL, NEUTRAL, canonical_name
from ke2nt.runtime.progress import track
from ke2nt.runtime.seeding import derive_seed
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["SPLITS", "SyntheticFace", "DrawnFaces"]

SPLITS: Mapping[str, float] = {"train": 0.7, "val": 0.15, "test": 0.15}
_CHUNK = 64


@dataclass(frozen=True, slots=True)
class SyntheticFace:
    """One drawn face and everything that is known of it.

    Attributes:
        index: Position in its `DrawnFaces`.
        name: File name without a suffix, unique in the dataset.
        image: uint8 (S, S, 3) RGB.
        label: Class index.
        expression: Class name.
        intensity: 0 (neutral) to 1 (full).
        style: Name of the drawing style.
        subject: Name of the identity.
        attributes: Facts in words, intensity and style among them.
        action_units: What the face does.
        masks: bool (4, S, S), regions in the order of `render.REGIONS`, or None if not asked for.
    """

    index: int
    name: str
    image: np.ndarray
    label: int
    expression: str
    intensity: float
    style: str
    subject: str
    attributes: Mapping[str, str]
    action_units: ActionUnits
    masks: np.ndarray | None = None


@dataclass(frozen=True)
class DrawnFaces:
    """A deterministic set of drawn faces.

    Class, identity, style, expression and view of each sample follow from `seed` and the sample's
    index alone. Classes are balanced, and every identity shows every class. Two sets that differ
    in `size` or `styles` only hold the same people doing the same things in the same poses.

    Attributes:
        count: Number of faces over all splits.
        seed: Names the whole set.
        size: Side in pixels, 16 to 1024.
        styles: Drawing styles, one drawn for each sample.
        identities: Number of people; by default one for every two faces of each class.
        classes: Label set in index order.
        min_intensity: Expressions other than neutral have intensities uniform in [this, 1].
        occlusion: Share of faces that something covers in part, 0 to 1.

    Raises:
        DataError: A value is out of range or a name unknown.
        LabelError: A class is no known expression.
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
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "styles", tuple(self.styles))
        if not classes or len(set(classes)) != len(classes):
            raise DataError("classes must be different expressions", found=list(self.classes))
        _check("count", self.count, 1, 10_000_000, whole=True)
        if self.identities is None:
            people = max(10, round(self.count / (2 * len(classes))))
            object.__setattr__(self, "identities", people)
        _check("size", self.size, 16, 1024, whole=True)
        _check("identities", self.identities, 3, 10_000_000, whole=True)
        _check("min_intensity", self.min_intensity, 0, 1)
        _check("occlusion", self.occlusion, 0, 1)
        for style in self.styles or ("",):
            _known("style", style, STYLES)

    def __len__(self) -> int:
        return self.count

    def label_of(self, index: int) -> int:
        """Class index of a sample."""
        return self._inside(index) % len(self.classes)

    def identity_of(self, index: int) -> int:
        """Number of the person in a sample."""
        return self._inside(index) // len(self.classes) % self.identity_count

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
        """The split to which an identity belongs, with all of its faces."""
        if not self._splits:
            people = self.identity_count
            rng = np.random.default_rng(derive_seed(self.seed, "split", people))
            order = rng.permutation(people).tolist()
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
        _known("split", split, SPLITS)
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
    ) -> SyntheticFace:
        """Draw one sample; it depends on nothing but this set's values and the index.

        Args:
            index: 0 to count − 1.
            masks: Also draw the region masks.
            expression, intensity, style: Replace the sample's own: the same person in the same
                pose and light shows something else, or is drawn otherwise. The label of an
                expression outside `classes` is −1.

        Raises:
            DataError: The index is out of range, or the style unknown.
            LabelError: The expression is unknown, or the intensity out of range.
        """
        label = self.label_of(index)
        number = self.identity_of(index)
        person = self.person(number)
        rng = np.random.default_rng(derive_seed(self.seed, "sample", index))
        own_intensity, style_at = rng.uniform(self.min_intensity, 1), rng.random()
        if expression is not None:
            expression = canonical_name(expression)
            label = self.classes.index(expression) if expression in self.classes else -1
        else:
            expression = self.classes[label]
        if expression == NEUTRAL:
            intensity = 0.0
        elif intensity is None:
            intensity = float(own_intensity)
        style = style or self.styles[int(style_at * len(self.styles))]
        _known("style", style, STYLES)
        units = sample_action_units(expression, intensity, rng)
        image, regions = render_face(
            person,
            units,
            seed=derive_seed(self.seed, "view", index),
            size=self.size,
            style=style,
            occlusion=self.occlusion,
            masks=masks,
        )
        return SyntheticFace(
            index=index,
            name=f"{index:06d}-id{number:05d}",
            image=image,
            label=label,
            expression=expression,
            intensity=intensity,
            style=style,
            subject=f"id{number:05d}",
            attributes={**person.attributes, "intensity": f"{intensity:.3f}", "style": style},
            action_units=units,
            masks=regions,
        )

    def render(
        self, indices: Sequence[int], *, masks: bool = False, workers: int = 1, quiet: bool = True
    ) -> Iterator[SyntheticFace]:
        """Draw samples in the given order; the pictures do not depend on the number of workers."""
        chunks = [list(indices[i : i + _CHUNK]) for i in range(0, len(indices), _CHUNK)]
        draw = partial(_render_chunk, self, masks=masks)
        if workers <= 1 or len(chunks) < 2:
            yield from track(
                (self.render_sample(i, masks=masks) for i in indices),
                "drawing faces",
                total=len(indices),
                quiet=quiet,
            )
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
            results = (face for chunk in pool.map(draw, chunks) for face in chunk)
            yield from track(results, "drawing faces", total=len(indices), quiet=quiet)

    def to_split(self, split: str, *, workers: int = 1, quiet: bool = True) -> FaceSplit:
        """The samples of a split with their pixels in memory.

        Args:
            split: "train", "val" or "test"; 70, 15 and 15 % of the identities.
            workers: Processes that draw.
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

    def _inside(self, index: int) -> int:
        if not 0 <= index < self.count:
            raise DataError(
                "no such face", expected=f"an index from 0 to {self.count - 1}", found=index
            )
        return index


def _render_chunk(faces: DrawnFaces, indices: list[int], *, masks: bool) -> list[SyntheticFace]:
    return [faces.render_sample(i, masks=masks) for i in indices]


def _known(what: str, name: str, names: Iterable[str]) -> None:
    names = tuple(names)
    if name not in names:
        raise DataError(
            f"unknown {what} {name!r}",
            expected=f"one of {', '.join(names)}",
            hint=did_you_mean(name, names),
        )


def _check(name: str, value: object, low: float, high: float, *, whole: bool = False) -> None:
    kind = (int,) if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:
        what = "a whole number" if whole else "a number"
        raise DataError(
            f"{name} is out of range", expected=f"{what} from {low} to {high}", found=value
        )
