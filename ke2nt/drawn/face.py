"""Everything that the shapes of one face follow from."""

from __future__ import annotations

from dataclasses import dataclass

from ke2nt.drawn.expression import ActionUnits
from ke2nt.drawn.identity import Identity
from ke2nt.drawn.mouth_shape import Mouth, shape_mouth
from ke2nt.drawn.palette import Palette

__all__ = ["Face"]


@dataclass(frozen=True, slots=True)
class Face:
    """A person, an expression and colors; every part is drawn from it into a `Scene`.

    Attributes:
        person: Proportions and attributes.
        units: What the face does.
        palette: Colors.
        mouth: Where the lips are.
    """

    person: Identity
    units: ActionUnits
    palette: Palette
    mouth: Mouth

    @classmethod
    def build(cls, person: Identity, units: ActionUnits, palette: Palette) -> Face:
        """A face with the mouth that person and action units give."""
        return cls(person, units, palette, shape_mouth(person, units))
