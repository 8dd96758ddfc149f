"""Scores of thousands of prompt ensembles on images that are embedded once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from ke2nt.errors import DataError
from ke2nt.runtime.progress import track

__all__ = ["PromptScorer", "Scores"]

_CHUNK = 1 << 18  # numbers in one working array: small enough for a processor's cache


class Scores(NamedTuple):
    """Metrics of B ensembles, in [0, 1].

    Attributes:
        accuracy: float64 (B,), share of correct predictions (WAR).
        uar: float64 (B,), mean recall over the classes that have images.
        recall: float64 (B, K), NaN for a class without images.
    """

    accuracy: np.ndarray
    uar: np.ndarray
    recall: np.ndarray


class PromptScorer:
    """Zero-shot predictions of any ensemble of a pool's prompts, without embedding anything again.

    An ensemble is a mask over P prompts. With unit prompt embeddings u_p and a unit image
    embedding x, the class embedding is the renormalized mean of the chosen u_p, so its cosine with
    x is Σ_p m_p (x · u_p) / √(mᵀ G m) with the Gram matrix G = u uᵀ. The similarities and the Gram
    matrix are computed once; nothing else is needed.

    Args:
        images: (N, D) image embeddings, any norm but 0.
        labels: (N,) integer class indices.
        prompts: (P, D) prompt embeddings, any norm but 0.
        prompt_classes: (P,) class index of each prompt.
        num_classes: K.

    Raises:
        DataError: Shapes do not fit, an index is out of range, or a vector has no direction.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        prompts: np.ndarray,
        prompt_classes: np.ndarray,
        num_classes: int,
    ) -> None:
        images, prompts = _normalize(images, "image"), _normalize(prompts, "prompt")
        self.labels = _check_indices(labels, len(images), num_classes, "label")
        self.prompt_classes = _check_indices(
            prompt_classes, len(prompts), num_classes, "prompt's class"
        )
        if images.shape[1] != prompts.shape[1]:
            raise DataError(
                "image and prompt embeddings have different widths",
                expected=images.shape[1],
                found=prompts.shape[1],
                hint="Embed the prompts with the text encoder that belongs to the image encoder.",
            )
        self.num_classes = num_classes
        self.support = np.bincount(self.labels, minlength=num_classes)

        # For each class, the positions of its P_k prompts, their similarities (P_k, N) with the
        # images, and their Gram matrix (P_k, P_k).
        self._columns = [np.flatnonzero(self.prompt_classes == k) for k in range(num_classes)]
        similarity = (prompts @ images.T).astype(np.float32)
        self._similarity = [similarity[columns] for columns in self._columns]
        self._gram = [prompts[columns] @ prompts[columns].T for columns in self._columns]

        self._one_hot = np.eye(num_classes, dtype=np.float32)[self.labels]
        self._threads = ThreadpoolController()

    @property
    def num_prompts(self) -> int:
        """P, the width of a mask."""
        return len(self.prompt_classes)

    def predict(self, masks: np.ndarray, *, quiet: bool = True) -> np.ndarray:
        """Predict the most similar class of every image with each ensemble; ties go to the first.

        Args:
            masks: bool (B, P), at least one prompt of every class.
            quiet: No progress on stderr.

        Returns:
            int16 (B, N) class indices.

        Raises:
            DataError: A mask has another width or leaves a class without prompts or direction.
        """
        with self._one_thread():
            chunks = list(self._predict_chunks(masks, quiet))
        return np.concatenate(chunks) if chunks else np.empty((0, len(self.labels)), np.int16)

    def count_correct(self, masks: np.ndarray, *, quiet: bool = True) -> np.ndarray:
        """Count correct predictions of each class, int64 (B, K); arguments as for `predict`."""
        # float32 products count exactly below 2^24 images.
        with self._one_thread():
            chunks = [
                (predicted == self.labels).astype(np.float32) @ self._one_hot
                for predicted in self._predict_chunks(masks, quiet)
            ]
        counts = np.concatenate(chunks) if chunks else np.empty((0, self.num_classes))
        return np.rint(counts).astype(np.int64)

    def score(self, masks: np.ndarray) -> Scores:
        """Compute accuracy, UAR and recalls; arguments and errors as for `predict`."""
        correct = self.count_correct(masks)
        present = np.broadcast_to(self.support > 0, correct.shape)
        nan = np.full(correct.shape, np.nan)
        recall = np.divide(correct, self.support, out=nan, where=present)

        uar = recall[:, self.support > 0].mean(axis=1)
        return Scores(correct.sum(axis=1) / len(self.labels), uar, recall)

    def _one_thread(self) -> AbstractContextManager[Any]:
        """Limit BLAS to one thread: the matrix products are too small to share between cores."""
        return self._threads.limit(limits=1, user_api="blas")

    def _predict_chunks(self, masks: np.ndarray, quiet: bool) -> Iterator[np.ndarray]:
        """Yield int16 (b, N) predictions of b masks at a time."""
        masks = np.asarray(masks, dtype=bool)
        if masks.ndim != 2 or masks.shape[1] != self.num_prompts:
            raise DataError(
                "a mask does not fit the prompts",
                expected=f"(B, {self.num_prompts})",
                found=masks.shape,
            )

        step = max(1, _CHUNK // len(self.labels))
        for start in track(range(0, len(masks), step), "scoring prompts", quiet=quiet):
            chunk = masks[start : start + step]
            predicted = self._argmax(chunk)
            yield np.broadcast_to(predicted, (len(chunk), predicted.shape[1]))

    def _argmax(self, masks: np.ndarray) -> np.ndarray:
        """Most similar class, int16 (B, N), one class at a time so that no (B, N, K) is held."""
        best = self._cosines(masks, 0)
        predicted = np.zeros(best.shape, np.int16)
        for k in range(1, self.num_classes):
            cosine = self._cosines(masks, k)
            predicted = np.where(cosine > best, np.int16(k), predicted)
            best = np.maximum(best, cosine)
        return predicted

    def _cosines(self, masks: np.ndarray, k: int) -> np.ndarray:
        """Cosines of class k, float32 (B, N), or (1, N) if all masks choose the same prompts."""
        chosen = masks[:, self._columns[k]]
        if (chosen == chosen[:1]).all():
            chosen = chosen[:1]

        # Norm of the sum of the chosen unit prompts: √(mᵀ G m).
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


def _normalize(vectors: np.ndarray, what: str) -> np.ndarray:
    """Return float64 unit vectors (N, D), or raise DataError."""
    wide = np.asarray(vectors, dtype=np.float64)
    if wide.ndim != 2 or not wide.size:
        raise DataError(
            f"{what} embeddings have the wrong shape", expected="(N, D)", found=wide.shape
        )
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    if not np.isfinite(norms).all() or (norms == 0).any():
        raise DataError(f"{what} embeddings must be finite and not zero")
    return wide / norms


def _check_indices(values: np.ndarray, count: int, num_classes: int, what: str) -> np.ndarray:
    """Return int64 class indices (count,), or raise DataError."""
    indices = np.asarray(values, dtype=np.int64)
    if indices.shape != (count,) or (indices < 0).any() or (indices >= num_classes).any():
        raise DataError(
            f"a {what} is missing or out of range",
            expected=f"{count} indices from 0 to {num_classes - 1}",
            found=f"shape {indices.shape}",
        )
    return indices
