"""Scores of thousands of prompt ensembles on images that are embedded once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from ke2nt.errors import DataError

__all__ = ["PromptScorer", "Scores"]

_CHUNK = 1 << 18  # numbers in one working array: small enough for a processor's cache


class Scores(NamedTuple):
    """Figures of B ensembles, in [0, 1].

    Attributes:
        accuracy: float64 (B,), share of right answers (WAR).
        uar: float64 (B,), mean recall over the classes that have images.
        recall: float64 (B, K), NaN for a class without images.
    """

    accuracy: np.ndarray
    uar: np.ndarray
    recall: np.ndarray


class PromptScorer:
    """Zero-shot answers of any ensemble of known prompts, without touching an embedding again.

    An ensemble is a mask over P prompts. With unit prompt embeddings u_p and a unit image
    embedding x, the class embedding is the renormalized mean of the chosen u_p, so its cosine with
    x is Σ_p m_p (x · u_p) / √(mᵀ G m) with the Gram matrix G = u uᵀ: the similarities and the Gram
    matrix, computed once, are all that is needed.

    Args:
        images: (N, D) image embeddings, any norm but 0.
        labels: (N,) integer class indices.
        prompts: (P, D) prompt embeddings, any norm but 0.
        owners: (P,) class index of each prompt.
        num_classes: K.

    Raises:
        DataError: Shapes do not fit, an index is out of range, or a vector has no direction.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        prompts: np.ndarray,
        owners: np.ndarray,
        num_classes: int,
    ) -> None:
        images, prompts = _unit(images, "image"), _unit(prompts, "prompt")
        self.labels = _indices(labels, len(images), num_classes, "label")
        self.owners = _indices(owners, len(prompts), num_classes, "prompt's class")
        if images.shape[1] != prompts.shape[1]:
            raise DataError(
                "image and prompt embeddings have different widths",
                expected=images.shape[1],
                found=prompts.shape[1],
                hint="Embed the prompts with the text encoder that belongs to the image encoder.",
            )
        self.num_classes = num_classes
        self.support = np.bincount(self.labels, minlength=num_classes)
        self._columns = [np.flatnonzero(self.owners == k) for k in range(num_classes)]
        similarity = (prompts @ images.T).astype(np.float32)
        self._similarity = [similarity[columns] for columns in self._columns]
        self._gram = [prompts[columns] @ prompts[columns].T for columns in self._columns]
        self._one_hot = np.eye(num_classes, dtype=np.float32)[self.labels]
        self._threads = ThreadpoolController()

    @property
    def num_prompts(self) -> int:
        """P, the width of a mask."""
        return len(self.owners)

    def predict(self, masks: np.ndarray) -> np.ndarray:
        """Most similar class of every image under each ensemble; the first of equals.

        Args:
            masks: bool (B, P), at least one prompt of every class.

        Returns:
            int16 (B, N) class indices.

        Raises:
            DataError: A mask has another width or leaves a class without prompts or direction.
        """
        with self._one_thread():
            parts = list(self._guesses(masks))
        return np.concatenate(parts) if parts else np.empty((0, len(self.labels)), np.int16)

    def hits(self, masks: np.ndarray) -> np.ndarray:
        """Right answers per class, int64 (B, K); arguments and errors as for `predict`."""
        with self._one_thread():
            counted = [
                (guess == self.labels).astype(np.float32) @ self._one_hot  # exact below 2^24 images
                for guess in self._guesses(masks)
            ]
        counts = np.concatenate(counted) if counted else np.empty((0, self.num_classes))
        return np.rint(counts).astype(np.int64)

    def score(self, masks: np.ndarray) -> Scores:
        """Accuracy, UAR and recalls; arguments and errors as for `predict`."""
        hits = self.hits(masks)
        shape = hits.shape
        present = np.broadcast_to(self.support > 0, shape)
        recall = np.divide(hits, self.support, out=np.full(shape, np.nan), where=present)
        uar = recall[:, self.support > 0].mean(axis=1)
        return Scores(hits.sum(axis=1) / len(self.labels), uar, recall)

    def _one_thread(self) -> AbstractContextManager[Any]:
        """The matrix products are too small to be worth sharing between cores."""
        return self._threads.limit(limits=1, user_api="blas")

    def _guesses(self, masks: np.ndarray) -> Iterator[np.ndarray]:
        masks = np.asarray(masks, dtype=bool)
        if masks.ndim != 2 or masks.shape[1] != self.num_prompts:
            raise DataError(
                "a mask does not fit the prompts",
                expected=f"(B, {self.num_prompts})",
                found=masks.shape,
            )
        step = max(1, _CHUNK // len(self.labels))
        for start in range(0, len(masks), step):
            chunk = masks[start : start + step]
            guess = self._argmax(chunk)
            yield np.broadcast_to(guess, (len(chunk), guess.shape[1]))

    def _argmax(self, masks: np.ndarray) -> np.ndarray:
        best = self._cosines(masks, 0)
        guess = np.zeros(best.shape, np.int16)
        for k in range(1, self.num_classes):
            cosine = self._cosines(masks, k)
            higher = cosine > best
            guess = np.where(higher, np.int16(k), guess)
            best = np.maximum(best, cosine)
        return guess

    def _cosines(self, masks: np.ndarray, k: int) -> np.ndarray:
        """Cosines of class k, float32 (B, N), or (1, N) where all masks choose the same prompts."""
        chosen = masks[:, self._columns[k]]
        if (chosen == chosen[:1]).all():
            chosen = chosen[:1]
        weights = chosen.astype(np.float64)
        norms = np.sqrt(np.maximum(((weights @ self._gram[k]) * weights).sum(axis=1), 0))
        if (norms < 1e-9).any():
            empty = not chosen.any(axis=1).all()
            raise DataError(
                "an ensemble has no direction for a class",
                found="no prompt chosen" if empty else "prompts that cancel out",
                where=f"class {k}",
            )
        return (weights / norms[:, None]).astype(np.float32) @ self._similarity[k]


def _unit(vectors: np.ndarray, what: str) -> np.ndarray:
    wide = np.asarray(vectors, dtype=np.float64)
    if wide.ndim != 2 or not wide.size:
        raise DataError(
            f"{what} embeddings have the wrong shape", expected="(N, D)", found=wide.shape
        )
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise DataError(f"{what} embeddings must be finite and not zero")
    return wide / norms


def _indices(values: np.ndarray, count: int, num_classes: int, what: str) -> np.ndarray:
    found = np.asarray(values, dtype=np.int64)
    if found.shape != (count,) or (found < 0).any() or (found >= num_classes).any():
        raise DataError(
            f"a {what} is missing or out of range",
            expected=f"{count} indices from 0 to {num_classes - 1}",
            found=f"shape {found.shape}",
        )
    return found
