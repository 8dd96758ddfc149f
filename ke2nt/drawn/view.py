"""How a face is seen in one image: pose, light, gaze, backdrop and what covers it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ke2nt.drawn.cover import COVERS, Cover

__all__ = ["View"]

# The head as an ellipsoid, half axes in face units, and the depth of the axis that it turns about
_WIDTH, _HEIGHT, _DEPTH = 0.9, 1.35, 0.62
_AXIS_DEPTH = 0.25


@dataclass(frozen=True, slots=True)
class View:
    """Camera and light.

    Attributes:
        yaw, pitch, roll: Rotations of the head in radians.
        scale: Half the height of the head as a share of the image's side.
        shift: Offset of the head's center as a share of the side.
        light: Direction from which light falls (right, up), length 0 to 1.
        gaze: Shift of the irises in face units.
        cover: What hides a part of the face, if anything.
        detail_seed: Seed of backdrop and of the style's noise.
    """

    yaw: float
    pitch: float
    roll: float
    scale: float
    shift: tuple[float, float]
    light: tuple[float, float]
    gaze: tuple[float, float]
    cover: Cover | None
    detail_seed: int

    @classmethod
    def sample(cls, rng: np.random.Generator, *, occlusion: float = 0.0) -> View:
        """Draw a view; `occlusion` is the share of views in which something covers the face."""
        # Pose, position and gaze
        turn = rng.normal(size=6).clip(-2.2, 2.2)

        angle = rng.uniform(0, 2 * np.pi)
        strength = rng.uniform(0.1, 1)
        light = (float(np.cos(angle) * strength), float(np.sin(angle) * 0.5 * strength + 0.35))

        # A cover is drawn either way, so that `occlusion` changes nothing else
        covered = rng.random() < occlusion
        cover = COVERS[int(rng.integers(len(COVERS)))]

        return cls(
            yaw=0.14 * turn[0],
            pitch=0.07 * turn[1],
            roll=0.08 * turn[2],
            scale=0.5 * float(np.exp(rng.normal(0, 0.05))),
            shift=(0.02 * turn[3], 0.012 + 0.02 * turn[4]),
            light=light,
            gaze=(0.022 * turn[5], float(rng.normal(0, 0.008))),
            cover=cover if covered else None,
            detail_seed=int(rng.integers(2**62)),
        )

    def project(self, points: np.ndarray, depth: np.ndarray, size: float) -> np.ndarray:
        """Face coordinates (N, 2) with heights above the head (N,) → pixels (N, 2)."""
        x, y = points[:, 0], points[:, 1]
        bulge = 1 - (x / _WIDTH) ** 2 - (y / _HEIGHT) ** 2
        z = _DEPTH * np.sqrt(bulge.clip(0, 1)) + depth

        # yaw
        cos, sin = np.cos(self.yaw), np.sin(self.yaw)
        turned = x * cos + (z - _AXIS_DEPTH) * sin
        z = z * cos - x * sin

        # pitch
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        nodded = y * cos + (z - _AXIS_DEPTH) * sin

        # roll, scale and shift
        cos, sin = np.cos(self.roll) * self.scale, np.sin(self.roll) * self.scale
        pixels = np.empty_like(points)
        pixels[:, 0] = turned * cos - nodded * sin + 0.5 + self.shift[0]
        pixels[:, 1] = turned * sin + nodded * cos + 0.5 + self.shift[1]
        return pixels * size
