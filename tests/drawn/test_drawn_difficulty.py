"""The task is neither trivial nor hopeless: pixels do not give the class away, edges do."""

from __future__ import annotations

import numpy as np
import pytest

from ke2nt.drawn.dataset import DrawnFaces

CHANCE = 1 / 8


@pytest.fixture(scope="module")
def data():
    faces = DrawnFaces(1000, seed=0, size=64, min_intensity=0.6, occlusion=0.0)
    parts = []
    for split in ("train", "test"):
        samples = faces.to_split(split)
        gray = np.stack([s.source for s in samples.samples]).mean(axis=3) / 255
        parts += [gray, samples.labels()]
    return tuple(parts)


def ridge_accuracy(train, labels, test, answers):
    """Accuracy of a ridge classifier at the penalty that is best on the test set."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-6
    a, b = (train - mean) / spread, (test - mean) / spread
    kernel, cross = a @ a.T / a.shape[1], b @ a.T / a.shape[1]
    target = np.eye(8)[labels] - CHANCE
    scores = [
        (cross @ np.linalg.solve(kernel + penalty * np.eye(len(a)), target)).argmax(axis=1)
        for penalty in (0.01, 0.1, 1.0, 10.0)
    ]
    return max(float((guess == answers).mean()) for guess in scores)


def oriented_edges(gray):
    """Histograms of unsigned gradient orientation in 8 × 8 cells, normalized over 3 × 3 cells."""
    dy, dx = np.gradient(gray, axis=(1, 2))
    size = np.hypot(dx, dy)
    bins = ((np.arctan2(dy, dx) % np.pi) / np.pi * 8).astype(int) % 8
    maps = np.stack([np.where(bins == k, size, 0) for k in range(8)], axis=1)
    n, side = len(gray), gray.shape[1] // 8
    cells = maps.reshape(n, 8, 8, side, 8, side).sum(axis=(3, 5))
    power = np.pad((cells**2).sum(axis=1), ((0, 0), (1, 1), (1, 1)), mode="edge")
    around = sum(power[:, i : i + 8, j : j + 8] for i in range(3) for j in range(3)) / 9
    return (cells / (np.sqrt(around)[:, None] + 0.05)).reshape(n, -1)


def halved(gray):
    n, side = len(gray), gray.shape[1] // 2
    return gray.reshape(n, side, 2, side, 2).mean(axis=(2, 4)).reshape(n, -1)


def test_no_single_pixel_gives_the_class_away(data):
    train, labels, test, answers = data
    levels = 6
    train, test = halved(train), halved(test)
    a = (train * levels).astype(int).clip(0, levels - 1)
    b = (test * levels).astype(int).clip(0, levels - 1)
    best = 0.0
    for pixel in range(a.shape[1]):
        votes = np.zeros((levels, 8))
        np.add.at(votes, (a[:, pixel], labels), 1)
        best = max(best, float((votes.argmax(axis=1)[b[:, pixel]] == answers).mean()))
    assert best < 0.3


@pytest.fixture(scope="module")
def linear(data):
    train, labels, test, answers = data
    return ridge_accuracy(halved(train), labels, halved(test), answers)


def test_linear_classifier_on_pixels_is_not_enough(linear):
    assert CHANCE < linear < 0.65


def test_edges_carry_the_expression_to_unseen_people(data, linear):
    train, labels, test, answers = data
    edges = ridge_accuracy(oriented_edges(train), labels, oriented_edges(test), answers)
    assert edges > 0.68
    assert edges > linear + 0.1
