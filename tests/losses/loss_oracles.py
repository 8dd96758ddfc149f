"""The KE2NT losses and their gradients as plain Python loops over the formulas, without torch."""

from __future__ import annotations

import math

Vector = list[float]
Rows = list[Vector]


def zeros_like(rows: Rows) -> Rows:
    return [[0.0] * len(row) for row in rows]


def one_hot(labels: list[int], classes: int) -> Rows:
    return [[1.0 if k == label else 0.0 for k in range(classes)] for label in labels]


def minus(a: Vector, b: Vector) -> Vector:
    return [x - y for x, y in zip(a, b, strict=True)]


def add_scaled(into: Vector, factor: float, vector: Vector) -> None:
    for d, value in enumerate(vector):
        into[d] += factor * value


def cosine(a: Vector, b: Vector) -> tuple[float, Vector]:
    """cos(a, b) and its derivative by a: b / (|a||b|) − cos · a / |a|²."""
    norm_a = math.sqrt(math.fsum(x * x for x in a))
    norm_b = math.sqrt(math.fsum(x * x for x in b))
    value = math.fsum(x * y for x, y in zip(a, b, strict=True)) / (norm_a * norm_b)
    slope = [y / (norm_a * norm_b) - value * x / norm_a**2 for x, y in zip(a, b, strict=True)]
    return value, slope


def similarity(logits: Rows, target: Rows, smoothing: float = 0.0) -> tuple[float, Rows]:
    batch, classes = len(logits), len(logits[0])
    total, gradient = 0.0, zeros_like(logits)
    for i, row in enumerate(logits):
        top = max(row)
        log_sum = top + math.log(math.fsum(math.exp(v - top) for v in row))
        for k, value in enumerate(row):
            q = (1 - smoothing) * target[i][k] + smoothing / classes
            total += q * (log_sum - value) / batch
            gradient[i][k] += (math.exp(value - log_sum) - q) / batch
    return total, gradient


def mass(target: Rows, neutral: int | None) -> float:
    return math.fsum(p for row in target for k, p in enumerate(row) if k != neutral)


def transformation(
    expression: Rows,
    neutral_face: Rows,
    target: Rows,
    raw: Rows,
    anchor: Vector,
    neutral: int | None,
) -> tuple[float, Rows, Rows]:
    total, by_e, by_n = 0.0, zeros_like(expression), zeros_like(expression)
    n = mass(target, neutral)
    for i, row in enumerate(target):
        for k, p in enumerate(row):
            if k == neutral or p == 0:
                continue
            move = minus(expression[i], neutral_face[i])
            value, slope = cosine(move, minus(raw[k], anchor))
            total += p * (1 - value) / n
            add_scaled(by_e[i], -p / n, slope)
            add_scaled(by_n[i], p / n, slope)
    return total, by_e, by_n


def self_contrast(
    expression: Rows,
    neutral_face: Rows,
    target: Rows,
    texts: Rows,
    neutral: int | None,
    pairing: str,
) -> tuple[float, Rows, Rows]:
    total, by_e, by_n = 0.0, zeros_like(expression), zeros_like(expression)
    n = mass(target, neutral)
    for i, text_row in enumerate(target):
        for k, p in enumerate(text_row):
            if k == neutral or p == 0:
                continue
            for j, image_row in enumerate(target):
                if pairing == "paired" and j != i:
                    continue
                w = math.fsum(q for c, q in enumerate(image_row) if c != neutral)
                factor = p / n if pairing == "paired" else p * w / n**2
                near_n, slope_n = cosine(neutral_face[j], texts[k])
                near_e, slope_e = cosine(expression[j], texts[k])
                total += factor * (near_n - near_e + 2)
                add_scaled(by_n[j], factor, slope_n)
                add_scaled(by_e[j], -factor, slope_e)
    return total, by_e, by_n
