"""A familiarity fitted to the embeddings of faces and of images without one."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch

from ke2nt.errors import DataError
from ke2nt.models.familiarity import Familiarity
from ke2nt.runtime.seeding import derive_seed

__all__ = ["area_under_curve", "fit_familiarity"]

_AXES = 64
_RIDGE = 1e-3
_STEPS = 50
_TINY = 1e-12


def fit_familiarity(
    faces: np.ndarray,
    others: np.ndarray,
    *,
    changed: np.ndarray | None = None,
    reject: float = 0.005,
    unfamiliar: float = 0.01,
    folds: int = 5,
    seed: int = 0,
    fitted_on: Mapping[str, Any] | None = None,
) -> Familiarity:
    """Fit the face score and the distance, and choose their limits.

    The face score is a logistic regression in which faces and other images weigh the same, and
    among the faces the images and all of their changed copies. The limits are quantiles of the
    faces, cross-fitted: each fold is measured by a fit to the other folds.

    Args:
        faces: (N, D) embeddings of faces that the model was not trained on.
        others: (M, D) of images without a face.
        changed: (V, N, D) of V changed copies of each face, such as degraded and shifted ones.
        reject: Share of the faces that may be taken for no face, 0 (excluded) to 1.
        unfamiliar: Share of the faces that may be taken for unfamiliar ones.
        folds: Number of folds, 2 to N.
        seed: Seed of the folds.
        fitted_on: Facts about the data, plain JSON.

    Raises:
        DataError: There are too few images, or a share is out of range.
    """
    for name, share in (("reject", reject), ("unfamiliar", unfamiliar)):
        if not 0 < share < 1:
            raise DataError(f"{name} is out of range", expected="between 0 and 1", found=share)
    if len(others) < folds or not 2 <= folds <= len(faces):
        raise DataError(
            "too few images to fit a familiarity to",
            expected=f"at least {folds} faces and as many other images",
            found=f"{len(faces)} and {len(others)}",
        )
    copies = faces[None][:0] if changed is None else changed

    # (N, 2), (V, N, 2) and (M, 2) held out from the fit that measured them
    of_faces, of_copies = np.empty((len(faces), 2)), np.empty((*copies.shape[:2], 2))
    of_others = np.empty((len(others), 2))
    rng = np.random.default_rng(derive_seed(seed, "familiarity folds"))
    face_folds, other_folds = (rng.permutation(len(x)) % folds for x in (faces, others))
    for fold in range(folds):
        inside, inside_others = face_folds == fold, other_folds == fold
        part = _fit(faces[~inside], copies[:, ~inside], others[~inside_others])
        of_faces[inside] = _measure(part, faces[inside])
        of_copies[:, inside] = _measure(part, copies[:, inside])
        of_others[inside_others] = _measure(part, others[inside_others])

    limits = {
        "min_face": float(np.quantile(of_faces[:, 0], reject)),
        "max_distance": float(np.quantile(of_faces[:, 1], 1 - unfamiliar)),
    }
    metrics = {
        "faces": len(faces),
        "others": len(others),
        "faces_rejected": float((of_faces[:, 0] < limits["min_face"]).mean()),
        "others_rejected": float((of_others[:, 0] < limits["min_face"]).mean()),
        "faces_unfamiliar": float((of_faces[:, 1] > limits["max_distance"]).mean()),
        "face_auc": area_under_curve(of_faces[:, 0], of_others[:, 0]),
        "changed_rejected": [float((x[:, 0] < limits["min_face"]).mean()) for x in of_copies],
        "changed_unfamiliar": [float((x[:, 1] > limits["max_distance"]).mean()) for x in of_copies],
    }
    final = _fit(faces, copies, others)
    return _build(final, **limits, fitted_on=dict(fitted_on or {}), metrics=metrics)


def area_under_curve(higher: np.ndarray, lower: np.ndarray) -> float:
    """Share of pairs in which the first value is higher than the second; ties count half."""
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, side="left")
    up_to = np.searchsorted(ordered, higher, side="right")
    return float((below + up_to).mean() / 2 / len(ordered))


def _fit(faces: np.ndarray, copies: np.ndarray, others: np.ndarray) -> Familiarity:
    """Fit both parts, without limits."""
    # images and copies weigh the same, and so do faces and other images
    shares = [(faces, 1.0), *((copy, 1.0 / len(copies)) for copy in copies)]
    total = sum(weight * len(rows) for rows, weight in shares)
    rows = np.concatenate([*(rows for rows, _ in shares), others]).astype(np.float64)
    weights = [np.full(len(part), weight / total / 2) for part, weight in shares]
    weights.append(np.full(len(others), 0.5 / len(others)))
    is_face = np.arange(len(rows)) < len(rows) - len(others)
    weight, bias = _fit_logistic(rows, is_face, np.concatenate(weights))

    # main axes of the directions; a small network may have fewer
    directions = faces / np.linalg.norm(faces, axis=1, keepdims=True).clip(_TINY)
    center = directions.mean(axis=0)
    variances, vectors = np.linalg.eigh(np.cov(directions.T))
    largest = [k for k in np.argsort(-variances)[:_AXES] if variances[k] > _TINY]
    axes = vectors[:, largest] / np.sqrt(variances[largest])
    tensor = partial(torch.tensor, dtype=torch.float32)
    return Familiarity(
        *(tensor(weight), tensor(bias), tensor(center), tensor(axes)),
        min_face=0.0,
        max_distance=0.0,
    )


def _fit_logistic(
    rows: np.ndarray, is_face: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, float]:
    """Weight (D,) and bias of a ridge logistic regression, by Newton's method.

    Args:
        rows: (N, D).
        is_face: (N,) bool.
        weights: (N,) weight of each row, 1 in sum.
    """
    # standardized, so that the ridge means the same for each feature
    center = weights @ rows
    spread = np.sqrt(weights @ (rows - center) ** 2).clip(_TINY)
    x = np.hstack([(rows - center) / spread, np.ones((len(rows), 1))])
    ridge = np.append(np.full(rows.shape[1], _RIDGE), 0.0)
    target = is_face.astype(np.float64)

    parameters = np.zeros(x.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ parameters, -30, 30)))
        gradient = x.T @ (weights * (p - target)) + ridge * parameters
        curvature = (x * (weights * p * (1 - p))[:, None]).T @ x
        step = np.linalg.solve(curvature + np.diag(ridge + 1e-9), gradient)
        # a full step may overshoot where the curvature is small
        parameters -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), _TINY))
        if np.abs(step).max() < 1e-6:
            break

    weight = parameters[:-1] / spread
    return weight, float(parameters[-1] - weight @ center)


def _measure(familiarity: Familiarity, embeddings: np.ndarray) -> np.ndarray:
    """(…, 2) face scores and distances of embeddings (…, D)."""
    return familiarity.measure(torch.from_numpy(embeddings)).double().numpy()


def _build(fitted: Familiarity, **fields: Any) -> Familiarity:
    tensors: dict[str, Any] = {**fitted.tensors()}
    return Familiarity(**tensors, **fields)
