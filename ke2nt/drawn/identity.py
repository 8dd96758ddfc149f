"""Who a drawn face belongs to: proportions, colors, hair, and attributes in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["AGES", "FACE_SHAPES", "GENDERS", "HAIR_STYLES", "SKINS", "Identity"]

Color = tuple[int, int, int]

GENDERS = ("female", "male")
AGES = ("child", "young", "middle", "old")
SKINS: Mapping[str, tuple[Color, ...]] = {
    "light": ((246, 214, 190), (240, 201, 172), (250, 222, 203), (233, 192, 160)),
    "medium": ((219, 171, 131), (204, 153, 112), (226, 182, 140), (190, 138, 98)),
    "dark": ((150, 101, 70), (124, 82, 56), (105, 68, 47), (166, 115, 80)),
}
# Width of the cheekbones, width of the jaw, width of the chin, length of the lower face.
FACE_SHAPES: Mapping[str, tuple[float, float, float, float]] = {
    "oval": (1.0, 1.0, 1.0, 1.0),
    "round": (1.07, 1.05, 1.08, 0.95),
    "square": (1.03, 1.12, 1.35, 0.98),
    "long": (0.94, 0.98, 1.0, 1.06),
    "heart": (1.03, 0.92, 0.78, 1.0),
}
HAIR_STYLES: Mapping[str, tuple[str, ...]] = {
    "female": ("long", "long", "bob", "bun", "curly", "fringe", "side", "short", "headscarf"),
    "male": ("short", "short", "side", "side", "curly", "buzz", "bald", "fringe"),
}
_HAIR: Mapping[str, Color] = {
    "black": (34, 28, 30),
    "brown": (84, 54, 36),
    "chestnut": (122, 70, 40),
    "blond": (206, 166, 98),
    "red": (162, 76, 38),
    "gray": (166, 164, 164),
    "white": (222, 220, 216),
}
_IRIS: Mapping[str, Color] = {
    "brown": (92, 56, 30),
    "hazel": (128, 98, 48),
    "green": (92, 128, 84),
    "blue": (86, 134, 176),
    "gray": (122, 138, 148),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """Everything about a face that stays when its expression changes.

    Lengths are in face units (1 = half the height of the head), or factors around 1.

    Attributes:
        attributes: Facts in words: gender, age, skin, face, hair, hair_color, eye_color, glasses,
            beard and freckles.
        width, jaw, chin, length: Factors of the outline of the head.
        eye_size, eye_spacing, eye_open: Factors of the eyes.
        eye_y, eye_tilt: Height of the eyes (down is positive) and rise of their outer corners.
        crease: Strength of the crease of the upper eyelid, 0 to 1.
        brow_thickness, brow_y, brow_arch, brow_tilt: Brows; tilt lifts their inner ends.
        nose_width, nose_length: Factors of the nose.
        mouth_width, lip_upper, lip_lower: Factors of the mouth.
        mouth_y, mouth_curve: Height of the mouth, and how far its corners hang at rest.
        wrinkles: Strength of the lines of age, 0 to 1.
        skin, hair, iris, lip, cloth: Colors.
        detail_seed: Seed of strands, curls, freckles and stubble.
    """

    attributes: Mapping[str, str]
    width: float
    jaw: float
    chin: float
    length: float
    eye_size: float
    eye_spacing: float
    eye_open: float
    eye_y: float
    eye_tilt: float
    crease: float
    brow_thickness: float
    brow_y: float
    brow_arch: float
    brow_tilt: float
    nose_width: float
    nose_length: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    mouth_y: float
    mouth_curve: float
    wrinkles: float
    skin: Color
    hair: Color
    iris: Color
    lip: Color
    cloth: Color
    detail_seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Identity:
        """Draw a person; every attribute is drawn on its own where nature allows it."""
        gender = _pick(rng, GENDERS)
        age = _pick(rng, AGES, (0.18, 0.37, 0.27, 0.18))
        skin_name = _pick(rng, tuple(SKINS))
        shape = _pick(rng, tuple(FACE_SHAPES))
        female, child, old = gender == "female", age == "child", age == "old"
        hair_style = _pick(rng, HAIR_STYLES[gender])
        if child and hair_style in ("bald", "buzz"):
            hair_style = "short"
        hair_name = _hair_name(rng, age, skin_name)
        eye_name = _eye_name(rng, skin_name)
        glasses = _pick(rng, ("none", "round", "square"), (0.84, 0.08, 0.08))
        beard = "none"
        if not female and not child:
            beard = _pick(rng, ("none", "stubble", "moustache", "full"), (0.58, 0.18, 0.09, 0.15))
        freckles = skin_name == "light" and rng.random() < 0.2
        width, jaw, chin, length = FACE_SHAPES[shape]
        vary = rng.normal(size=20).clip(-2, 2)
        skin = _tint(_pick(rng, SKINS[skin_name]), vary[0] * 5)
        blend = 0.52 if female else 0.34
        lip_to = (178, 62, 72) if skin_name != "dark" else (128, 50, 52)
        lip = tuple(round(a + (b - a) * blend) for a, b in zip(skin, lip_to, strict=True))
        return cls(
            attributes={
                "gender": gender,
                "age": age,
                "skin": skin_name,
                "face": shape,
                "hair": hair_style,
                "hair_color": hair_name,
                "eye_color": eye_name,
                "glasses": glasses,
                "beard": beard,
                "freckles": "yes" if freckles else "no",
            },
            width=width * (1.04 if child else 1) * (1 + 0.02 * vary[1]),
            jaw=jaw * (0.96 if female or child else 1.03) * (1 + 0.02 * vary[2]),
            chin=chin * (0.88 if female or child else 1.08) * (1 + 0.04 * vary[3]),
            length=length * (0.95 if child else 1) * (1 + 0.012 * vary[4]),
            eye_size=(1.17 if child else 1.06 if female else 0.98) * (1 + 0.04 * vary[5]),
            eye_spacing=1 + 0.03 * vary[6],
            eye_open=(0.86 if old else 1.0) * (1 + 0.07 * vary[7]),
            eye_y=(0.06 if child else 0.0) + 0.012 * vary[8],
            eye_tilt=0.012 + 0.014 * vary[9],
            crease=float(rng.random() < 0.8) * rng.uniform(0.5, 1),
            brow_thickness=(0.7 if female or child else 1.1) * (1 + 0.16 * vary[10]),
            brow_y=0.016 * vary[11],
            brow_arch=0.022 + 0.012 * vary[12] + (0.01 if female else 0),
            brow_tilt=0.01 * vary[13],
            nose_width=(0.84 if child else 0.95 if female else 1.06)
            * (1.14 if skin_name == "dark" else 1)
            * (1 + 0.07 * vary[14]),
            nose_length=(0.86 if child else 1.05 if old else 1.0) * (1 + 0.04 * vary[15]),
            mouth_width=(0.9 if child else 1.0) * (1 + 0.05 * vary[16]),
            lip_upper=(0.75 if old else 1.0)
            * (1.1 if female else 0.9)
            * (1.25 if skin_name == "dark" else 1)
            * (1 + 0.14 * vary[17]),
            lip_lower=(0.8 if old else 1.0)
            * (1.1 if female else 0.95)
            * (1.15 if skin_name == "dark" else 1)
            * (1 + 0.12 * vary[18]),
            mouth_y=(-0.03 if child else 0.0) + 0.01 * vary[19],
            mouth_curve=float(rng.normal(-0.01, 0.008)),
            wrinkles={"child": 0.0, "young": 0.06, "middle": 0.38, "old": 0.9}[age],
            skin=skin,
            hair=_tint(_HAIR[hair_name], rng.normal() * 6),
            iris=_tint(_IRIS[eye_name], rng.normal() * 6),
            lip=_rgb(*lip),
            cloth=_rgb(*rng.integers(30, 220, 3)),
            detail_seed=int(rng.integers(2**62)),
        )


def _pick(rng: np.random.Generator, options: tuple, weights: tuple[float, ...] | None = None):  # type: ignore[no-untyped-def]
    if weights is None:
        return options[int(rng.integers(len(options)))]
    return options[int(np.searchsorted(np.cumsum(weights), rng.random() * sum(weights)))]


def _rgb(r: float, g: float, b: float) -> Color:
    return (int(min(max(r, 0), 255)), int(min(max(g, 0), 255)), int(min(max(b, 0), 255)))


def _tint(color: Color, shift: float) -> Color:
    return _rgb(*(c + shift for c in color))


def _hair_name(rng: np.random.Generator, age: str, skin: str) -> str:
    if age == "old":
        return str(_pick(rng, ("gray", "white", "gray", "brown")))
    if age == "middle" and rng.random() < 0.2:
        return "gray"
    if skin == "light":
        return str(_pick(rng, ("brown", "chestnut", "blond", "red", "black")))
    return str(_pick(rng, ("black", "brown", "chestnut"), (0.6, 0.3, 0.1)))


def _eye_name(rng: np.random.Generator, skin: str) -> str:
    if skin == "light":
        return str(_pick(rng, tuple(_IRIS)))
    return str(_pick(rng, ("brown", "hazel", "green"), (0.8, 0.15, 0.05)))
