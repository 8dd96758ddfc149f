"""What people look like, as tables: attributes in words, colors, and proportions per group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ke2nt.drawn.colors import Color

__all__ = [
    "AGES",
    "FACE_SHAPES",
    "FACTORS",
    "GENDERS",
    "HAIR_COLORS",
    "IRIS_COLORS",
    "LIP_COLORS",
    "OFFSETS",
    "SKINS",
    "VARIED",
    "WRINKLES",
    "Factor",
    "Offset",
    "pick",
    "sample_attributes",
]

GENDERS = ("female", "male")
AGES = ("child", "young", "middle", "old")
_AGE_SHARES = (0.18, 0.37, 0.27, 0.18)

SKINS: Mapping[str, tuple[Color, ...]] = {
    "light": ((246, 214, 190), (240, 201, 172), (250, 222, 203), (233, 192, 160)),
    "medium": ((219, 171, 131), (204, 153, 112), (226, 182, 140), (190, 138, 98)),
    "dark": ((150, 101, 70), (124, 82, 56), (105, 68, 47), (166, 115, 80)),
}

# Lips are skin blended with this color
LIP_COLORS: Mapping[str, Color] = {
    "light": (178, 62, 72),
    "medium": (178, 62, 72),
    "dark": (128, 50, 52),
}
HAIR_COLORS: Mapping[str, Color] = {
    "black": (34, 28, 30),
    "brown": (84, 54, 36),
    "chestnut": (122, 70, 40),
    "blond": (206, 166, 98),
    "red": (162, 76, 38),
    "gray": (166, 164, 164),
    "white": (222, 220, 216),
}
IRIS_COLORS: Mapping[str, Color] = {
    "brown": (92, 56, 30),
    "hazel": (128, 98, 48),
    "green": (92, 128, 84),
    "blue": (86, 134, 176),
    "gray": (122, 138, 148),
}

# Repeated names are more likely
_HAIR_STYLES: Mapping[str, tuple[str, ...]] = {
    "female": ("long", "long", "bob", "bun", "curly", "fringe", "side", "short", "headscarf"),
    "male": ("short", "short", "side", "side", "curly", "buzz", "bald", "fringe"),
}
_OLD_HAIR = ("gray", "white", "gray", "brown")
_LIGHT_SKIN_HAIR = ("brown", "chestnut", "blond", "red", "black")
_DARKER_SKIN_HAIR = ("black", "brown", "chestnut"), (0.6, 0.3, 0.1)
_DARKER_SKIN_IRIS = ("brown", "hazel", "green"), (0.8, 0.15, 0.05)
_GLASSES = ("none", "round", "square"), (0.84, 0.08, 0.08)
_BEARDS = ("none", "stubble", "moustache", "full"), (0.58, 0.18, 0.09, 0.15)

# Width of the cheekbones, of the jaw and of the chin, and length of the lower face
FACE_SHAPES: Mapping[str, Mapping[str, float]] = {
    "oval": {"width": 1.0, "jaw": 1.0, "chin": 1.0, "length": 1.0},
    "round": {"width": 1.07, "jaw": 1.05, "chin": 1.08, "length": 0.95},
    "square": {"width": 1.03, "jaw": 1.12, "chin": 1.35, "length": 0.98},
    "long": {"width": 0.94, "jaw": 0.98, "chin": 1.0, "length": 1.06},
    "heart": {"width": 1.03, "jaw": 0.92, "chin": 0.78, "length": 1.0},
}
WRINKLES: Mapping[str, float] = {"child": 0.0, "young": 0.06, "middle": 0.38, "old": 0.9}


@dataclass(frozen=True, slots=True)
class Factor:
    """A proportion: the product of its factors by group, times 1 + spread · variation.

    Attributes:
        spread: Relative spread between people of one group.
        build: Factor for "child", and for adults "female" and "male".
        age, gender, skin: Factors by these attributes; 1 where a value is not listed.
    """

    spread: float
    build: Mapping[str, float] = field(default_factory=dict)
    age: Mapping[str, float] = field(default_factory=dict)
    gender: Mapping[str, float] = field(default_factory=dict)
    skin: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Offset:
    """A position in face units: center + spread · variation."""

    spread: float
    center: float = 0.0
    child_center: float | None = None


FACTORS: Mapping[str, Factor] = {
    "width": Factor(0.02, age={"child": 1.04}),
    "jaw": Factor(0.02, build={"child": 0.96, "female": 0.96, "male": 1.03}),
    "chin": Factor(0.04, build={"child": 0.88, "female": 0.88, "male": 1.08}),
    "length": Factor(0.012, age={"child": 0.95}),
    "eye_size": Factor(0.04, build={"child": 1.17, "female": 1.06, "male": 0.98}),
    "eye_spacing": Factor(0.03),
    "eye_open": Factor(0.07, age={"old": 0.86}),
    "brow_thickness": Factor(0.16, build={"child": 0.7, "female": 0.7, "male": 1.1}),
    "nose_width": Factor(
        0.07, build={"child": 0.84, "female": 0.95, "male": 1.06}, skin={"dark": 1.14}
    ),
    "nose_length": Factor(0.04, age={"child": 0.86, "old": 1.05}),
    "mouth_width": Factor(0.05, age={"child": 0.9}),
    "lip_upper": Factor(
        0.14, age={"old": 0.75}, gender={"female": 1.1, "male": 0.9}, skin={"dark": 1.25}
    ),
    "lip_lower": Factor(
        0.12, age={"old": 0.8}, gender={"female": 1.1, "male": 0.95}, skin={"dark": 1.15}
    ),
}
OFFSETS: Mapping[str, Offset] = {
    "eye_y": Offset(0.012, child_center=0.06),
    "eye_tilt": Offset(0.014, 0.012),
    "brow_y": Offset(0.016),
    "brow_arch": Offset(0.012, 0.022),
    "brow_tilt": Offset(0.01),
    "mouth_y": Offset(0.01, child_center=-0.03),
}

# Order of the random variations; the pixels of every seed depend on it
VARIED = (
    *("skin", "width", "jaw", "chin", "length", "eye_size", "eye_spacing", "eye_open", "eye_y"),
    *("eye_tilt", "brow_thickness", "brow_y", "brow_arch", "brow_tilt", "nose_width"),
    *("nose_length", "mouth_width", "lip_upper", "lip_lower", "mouth_y"),
)


def sample_attributes(rng: np.random.Generator) -> dict[str, str]:
    """Draw the attributes of a person, independently where nature allows it.

    The order of the draws is part of every seed's pixels.
    """
    gender = pick(rng, GENDERS)
    age = pick(rng, AGES, _AGE_SHARES)
    skin = pick(rng, tuple(SKINS))
    shape = pick(rng, tuple(FACE_SHAPES))

    # Some styles and colors belong to an age or a skin
    hair = pick(rng, _HAIR_STYLES[gender])
    if age == "child" and hair in ("bald", "buzz"):
        hair = "short"
    hair_color = _sample_hair_color(rng, age, skin)
    eye_color = pick(rng, tuple(IRIS_COLORS)) if skin == "light" else pick(rng, *_DARKER_SKIN_IRIS)

    glasses = pick(rng, *_GLASSES)
    bearded = gender == "male" and age != "child"
    beard = pick(rng, *_BEARDS) if bearded else "none"
    freckles = skin == "light" and rng.random() < 0.2

    return {
        "gender": gender,
        "age": age,
        "skin": skin,
        "face": shape,
        "hair": hair,
        "hair_color": hair_color,
        "eye_color": eye_color,
        "glasses": glasses,
        "beard": beard,
        "freckles": "yes" if freckles else "no",
    }


def pick(
    rng: np.random.Generator, options: Sequence[Any], weights: Sequence[float] | None = None
) -> Any:
    """Draw one of some options, all equally likely unless weighted."""
    if weights is None:
        return options[int(rng.integers(len(options)))]
    return options[int(np.searchsorted(np.cumsum(weights), rng.random() * sum(weights)))]


def _sample_hair_color(rng: np.random.Generator, age: str, skin: str) -> str:
    if age == "old":
        return str(pick(rng, _OLD_HAIR))
    if age == "middle" and rng.random() < 0.2:
        return "gray"
    if skin == "light":
        return str(pick(rng, _LIGHT_SKIN_HAIR))
    return str(pick(rng, *_DARKER_SKIN_HAIR))
