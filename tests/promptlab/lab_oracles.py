"""Planted faces and prompts, and slow ways to the same metrics."""

from __future__ import annotations

import hashlib

import numpy as np
import torch

from ke2nt.evaluation.embed_split import ImageEmbeddings
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.base import EncodedText, Fingerprint

WIDTH = 16
CLASSES = ("neutral", "happiness", "anger", "fear")


def vector(text: str) -> np.ndarray:
    """(WIDTH,) float32, any norm, from a hash of the words."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    rng = np.random.default_rng(seed)
    return (rng.normal(size=WIDTH) * rng.uniform(0.5, 3)).astype(np.float32)


class WordEncoder:
    """A text encoder whose vectors are given, or come from a hash of the words."""

    id = "words"

    def __init__(self, vectors: dict[str, np.ndarray] | None = None):
        self.vectors, self.calls = vectors or {}, 0

    def fingerprint(self) -> Fingerprint:
        return Fingerprint("w" * 64, "t" * 64)

    def check_lengths(self, prompts) -> None:
        pass

    def encode_text(self, prompts) -> EncodedText:
        self.calls += 1
        rows = [self.vectors.get(text, vector(text)) for text in prompts]
        return EncodedText(torch.from_numpy(np.stack(rows).astype(np.float32)))


def faces(embeddings, labels, classes=CLASSES, **changes) -> ImageEmbeddings:
    values = {
        "embeddings": np.asarray(embeddings, np.float32),
        "labels": np.asarray(labels),
        "names": tuple(f"face{i}" for i in range(len(labels))),
        "classes": tuple(classes),
        "encoder": "planted",
        "text_encoder": "words",
        "logit_scale": 100.0,
    }
    return ImageEmbeddings(**{**values, **changes})


def random_faces(n=90, seed=0, classes=CLASSES) -> ImageEmbeddings:
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, WIDTH))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return faces(vectors, rng.integers(0, len(classes), n), classes)


def words_set(**changes) -> PromptSet:
    return PromptSet(
        **{
            "name": "words",
            "templates": ["a {class} face", "someone who looks {class}", "{class}, up close"],
            "classes": {
                "neutral": ["neutral", "calm"],
                "happiness": ["happy"],
                "anger": ["angry", "furious"],
                "fear": ["afraid"],
            },
            **changes,
        }
    )


def described_set(**changes) -> PromptSet:
    return PromptSet(
        **{
            "name": "described",
            "classes": {name: [] for name in CLASSES},
            "descriptions": {name: [f"{name} one", f"{name} two"] for name in CLASSES},
            **changes,
        }
    )


def slow_predictions(embeddings, prompts_by_class, encoder) -> np.ndarray:
    """(N,) class indices: every ensemble averaged and every cosine taken one by one."""
    centers = []
    for texts in prompts_by_class:
        total = np.zeros(WIDTH)
        for text in texts:
            row = encoder.vectors.get(text, vector(text)).astype(np.float64)
            total += row / np.sqrt((row**2).sum())
        centers.append(total / np.sqrt((total**2).sum()))
    answers = []
    for row in np.asarray(embeddings, np.float64):
        cosines = [float(row @ center) / np.sqrt(float(row @ row)) for center in centers]
        answers.append(int(np.argmax(cosines)))
    return np.array(answers)


def slow_metrics(predicted, labels, count) -> tuple[float, float, list[float]]:
    """Accuracy, UAR, recalls (NaN for a class without images)."""
    recalls = []
    for k in range(count):
        mine = [p == k for p, label in zip(predicted, labels, strict=True) if label == k]
        recalls.append(sum(mine) / len(mine) if mine else float("nan"))
    accuracy = sum(p == label for p, label in zip(predicted, labels, strict=True)) / len(labels)
    return accuracy, float(np.nanmean(recalls)), recalls
