"""Boxes from the outputs of SCRFD and RetinaFace, computed from their published formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ke2nt.predict.detections import Detection

__all__ = ["Candidates", "decode_retinaface", "decode_scrfd", "sort_scrfd"]

_STRIDES = (8, 16, 32)
# RetinaFace: sides of the two squares in each cell, by stride, and how offsets are scaled
_SIDES: Mapping[int, tuple[int, int]] = {8: (16, 32), 16: (64, 128), 32: (256, 512)}
_CENTER_VARIANCE, _SIZE_VARIANCE = 0.1, 0.2
_POINTS = 10  # numbers of five landmarks
_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Candidates:
    """Faces at every anchor, which overlap.

    Attributes:
        scores: (N,) in [0, 1].
        boxes: (N, 4), x0, y0, x1, y1 in pixels.
        points: (N, 5, 2), x, y in pixels, or None.
    """

    scores: np.ndarray
    boxes: np.ndarray
    points: np.ndarray | None

    def above(self, min_score: float) -> list[Detection]:
        """The faces with at least a score."""
        return [
            Detection(
                box=tuple(self.boxes[i].tolist()),
                score=float(self.scores[i]),
                landmarks=None
                if self.points is None
                else tuple(map(tuple, self.points[i].tolist())),
            )
            for i in np.flatnonzero(self.scores >= min_score)
        ]


def sort_scrfd(
    outputs: Sequence[np.ndarray], height: int, width: int
) -> dict[int, dict[int, np.ndarray]] | None:
    """SCRFD's outputs as stride → number of columns (1 score, 4 box, 10 points) → (N, columns).

    Args:
        outputs: Arrays (N, C) or (1, N, C) in any order, with one or two anchors in each cell.
        height: Height of the input in pixels.
        width: Its width.

    Returns:
        None if the shapes are not those of SCRFD.
    """
    # each stride has its own number of cells
    sizes = {
        s * c: (stride, s) for stride, s in _count_cells(height, width).items() for c in (1, 2)
    }
    found: dict[int, dict[int, np.ndarray]] = {}
    for output in outputs:
        rows = output[0] if output.ndim == 3 and len(output) == 1 else output
        if rows.ndim != 2 or rows.shape[1] not in (1, 4, _POINTS) or len(rows) not in sizes:
            return None
        by_columns = found.setdefault(sizes[len(rows)][0], {})
        if rows.shape[1] in by_columns:
            return None
        by_columns[rows.shape[1]] = rows

    # every stride needs a score and a box, and either all strides have points or none
    kinds = {tuple(sorted(part)) for part in found.values()}
    same_rows = all(len({len(rows) for rows in part.values()}) == 1 for part in found.values())
    known = kinds in ({(1, 4)}, {(1, 4, _POINTS)})
    return found if known and same_rows and set(found) == set(_STRIDES) else None


def decode_scrfd(
    outputs: Mapping[int, Mapping[int, np.ndarray]], height: int, width: int
) -> Candidates:
    """Distances from an anchor to the four sides, in strides; points as offsets in strides.

    Anchors lie at the top left corners of the cells; those of a cell follow one another.
    Source: Guo et al., Sample and Computation Redistribution for Efficient Face Detection (2021).
    """
    scores, boxes, points = [], [], []
    for stride, part in sorted(outputs.items()):
        anchors = stride * _cell_corners(stride, height, width)
        anchors = np.repeat(anchors, len(part[1]) // len(anchors), axis=0)  # (N, 2)
        distances = part[4] * stride
        scores.append(part[1][:, 0])
        boxes.append(np.hstack([anchors - distances[:, :2], anchors + distances[:, 2:]]))
        if _POINTS in part:
            points.append(anchors[:, None] + part[_POINTS].reshape(-1, 5, 2) * stride)
    return Candidates(
        np.concatenate(scores), np.concatenate(boxes), np.concatenate(points) if points else None
    )


def decode_retinaface(outputs: Sequence[np.ndarray], height: int, width: int) -> Candidates | None:
    """Offsets to two squares in the middle of each cell, with the variances 0.1 and 0.2.

    The center moves by offset times 0.1 times the side of the square, the size is multiplied by
    exp(0.2 times the offset). Scores are softmax or logits of background and face.
    Source: Deng et al., RetinaFace: Single-stage Dense Face Localisation in the Wild (2020), with
    the priors of SSD (Liu et al., 2016).

    Args:
        outputs: Arrays (1, N, C) with 4, 2 and, optionally, 10 columns, in any order.
        height: Height of the input in pixels.
        width: Its width.

    Returns:
        None if the shapes are not those of RetinaFace.
    """
    priors = _make_priors(height, width)
    parts = {o.shape[-1]: o.reshape(-1, o.shape[-1]) for o in outputs if o.ndim in (2, 3)}
    columns = set(parts)
    if len(parts) != len(outputs) or columns not in ({2, 4}, {2, 4, _POINTS}):
        return None
    if any(len(rows) != len(priors) for rows in parts.values()):
        return None

    # (N, 2) each
    centers, sides = priors[:, :2], priors[:, 2:]
    moved = centers + parts[4][:, :2] * _CENTER_VARIANCE * sides
    sizes = sides * np.exp(parts[4][:, 2:] * _SIZE_VARIANCE)
    points = None
    if _POINTS in parts:
        shifts = parts[_POINTS].reshape(-1, 5, 2) * _CENTER_VARIANCE
        points = centers[:, None] + shifts * sides[:, None]
    boxes = np.hstack([moved - sizes / 2, moved + sizes / 2])
    return Candidates(_face_probability(parts[2]), boxes, points)


def _face_probability(pairs: np.ndarray) -> np.ndarray:
    """Column 1 of (N, 2) probabilities, which are computed first if these are logits."""
    sums = np.abs(pairs.sum(axis=1) - 1)
    if pairs.min() >= 0 and sums.max() < _SUM_TOLERANCE:
        return pairs[:, 1]
    return 1 / (1 + np.exp(np.clip(pairs[:, 0] - pairs[:, 1], -60, 60)))


def _make_priors(height: int, width: int) -> np.ndarray:
    """Center x, y and side (twice) of every square, (N, 4) in pixels."""
    rows = []
    for stride, sides in _SIDES.items():
        centers = np.repeat(stride * (_cell_corners(stride, height, width) + 0.5), 2, axis=0)
        side = np.tile(sides, len(centers) // 2)[:, None]
        rows.append(np.hstack([centers, side, side]))
    return np.concatenate(rows)


def _cell_corners(stride: int, height: int, width: int) -> np.ndarray:
    """Column and row of each cell, row by row, (h * w, 2)."""
    y, x = np.mgrid[: -(-height // stride), : -(-width // stride)]
    return np.stack([x, y], axis=-1).reshape(-1, 2).astype(np.float32)


def _count_cells(height: int, width: int) -> dict[int, int]:
    return {s: -(-height // s) * -(-width // s) for s in _STRIDES}
