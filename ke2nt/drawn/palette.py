"""The colors of a face, derived from its identity and the drawing style."""

from __future__ import annotations

from dataclasses import dataclass

from ke2nt.drawn.colors import WHITE, Color, mix
from ke2nt.drawn.identity import Identity

__all__ = ["Palette", "flat_palette", "paper_palette", "photo_palette"]


@dataclass(frozen=True, slots=True)
class Palette:
    """RGB colors of the parts.

    `shade`, `gleam` and `blush` are for the soft layers, where mid-gray (128) keeps the skin
    unchanged, darker values darken it and lighter ones lighten it.
    """

    skin: Color
    fold: Color
    lip: Color
    lip_line: Color
    hair: Color
    hair_dark: Color
    hair_light: Color
    brow: Color
    lash: Color
    iris: Color
    white: Color
    cavity: Color
    teeth: Color
    tongue: Color
    cloth: Color
    frame: Color
    shade: Color = (74, 60, 58)
    gleam: Color = (172, 168, 162)
    blush: Color = (150, 112, 112)


def photo_palette(person: Identity) -> Palette:
    """Natural colors."""
    skin, hair = person.skin, person.hair

    # brows of fair-haired people are darker than their hair
    fair = sum(hair) > 430

    return Palette(
        skin=skin,
        fold=mix(skin, (70, 24, 18), 0.62),
        lip=person.lip,
        lip_line=mix(person.lip, (52, 14, 18), 0.62),
        hair=hair,
        hair_dark=mix(hair, (12, 8, 10), 0.42),
        hair_light=mix(hair, (255, 240, 215), 0.2),
        brow=mix(hair, (70, 48, 36), 0.55 if fair else 0.12),
        lash=mix(skin, (18, 10, 10), 0.88),
        iris=person.iris,
        white=mix((244, 241, 238), skin, 0.08),
        cavity=(66, 18, 22),
        teeth=(240, 234, 224),
        tongue=(188, 88, 92),
        cloth=person.cloth,
        frame=mix(person.cloth, (24, 22, 26), 0.75),
    )


def flat_palette(person: Identity) -> Palette:
    """Clear, saturated colors for flat drawing."""
    natural = photo_palette(person)

    # one warm light on every skin
    skin = mix(person.skin, (255, 196, 150), 0.25)

    return Palette(
        skin=skin,
        fold=mix(skin, (110, 40, 30), 0.5),
        lip=mix(person.lip, (214, 64, 84), 0.35),
        lip_line=(96, 24, 32),
        hair=_saturated(person.hair, 1.35),
        hair_dark=natural.hair_dark,
        hair_light=natural.hair_light,
        brow=natural.brow,
        lash=(28, 20, 26),
        iris=_saturated(person.iris, 1.4),
        white=WHITE,
        cavity=(92, 16, 30),
        teeth=WHITE,
        tongue=(230, 96, 110),
        cloth=_saturated(person.cloth, 1.3),
        frame=(30, 28, 40),
    )


def paper_palette(person: Identity) -> Palette:
    """Graphite on paper: skin stays paper, hair takes a tone after its lightness."""
    lightness = sum(person.hair) / 765
    tone = round(96 + 120 * lightness)
    hair = (tone, tone, tone)
    paper = (246, 244, 238)

    # soft layers are fainter here: graphite smudges less than light does
    return Palette(
        skin=paper,
        fold=(96, 94, 94),
        lip=(206, 203, 199),
        lip_line=(58, 56, 58),
        hair=hair,
        hair_dark=mix(hair, (40, 40, 42), 0.5),
        hair_light=mix(hair, (250, 250, 250), 0.4),
        brow=(66, 64, 66),
        lash=(40, 38, 40),
        iris=(126, 124, 124),
        white=(252, 251, 248),
        cavity=(60, 58, 60),
        teeth=(250, 249, 246),
        tongue=(150, 147, 146),
        cloth=(226, 224, 219),
        frame=(50, 48, 50),
        shade=(108, 108, 108),
        gleam=(134, 134, 134),
        blush=(124, 124, 124),
    )


def _saturated(color: Color, factor: float) -> Color:
    gray = sum(color) / 3
    r, g, b = (min(max(round(gray + (c - gray) * factor), 0), 255) for c in color)
    return (r, g, b)
