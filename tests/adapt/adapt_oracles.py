"""The losses of adaptation and their gradients as plain Python loops over the formulas."""

from __future__ import annotations

import math


def square(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def margin_loss(source, source_labels, target, target_labels, cs, ct, margin, domain_weight):
    """½‖f − c_y‖² over B and max(0, m − Σ_{i<j} ‖c_i − c_j‖² / (K (K − 1))) in each domain.

    Plus λ_1 (1/K) Σ_k ‖c^s_k − c^t_k‖².
    """
    classes = len(cs)
    total = domain_weight * sum(square(a, b) for a, b in zip(cs, ct, strict=True)) / classes
    for features, labels, centers in ((source, source_labels, cs), (target, target_labels, ct)):
        for f, y in zip(features, labels, strict=True):
            total += 0.5 * square(f, centers[y]) / len(features)
        pairs = 0.0
        for i in range(classes):
            for j in range(i + 1, classes):
                pairs += square(centers[i], centers[j])
        if classes > 1:
            pairs /= classes * (classes - 1)
        total += max(0.0, margin - pairs)
    return total


def coral(source, target):
    width = len(source[0])

    def covariance(rows):
        means = [sum(row[k] for row in rows) / len(rows) for k in range(width)]
        return [
            [
                sum((row[i] - means[i]) * (row[j] - means[j]) for row in rows) / (len(rows) - 1)
                for j in range(width)
            ]
            for i in range(width)
        ]

    a, b = covariance(source), covariance(target)
    total = sum((a[i][j] - b[i][j]) ** 2 for i in range(width) for j in range(width))
    return total / (4 * width**2)


def mmd(source, target):
    rows = [*source, *target]
    width = sum(square(a, b) for a in rows for b in rows) / len(rows) ** 2

    def kernel(a, b):
        return sum(math.exp(-square(a, b) / (w * width)) for w in (0.25, 0.5, 1, 2, 4)) / 5

    def mean(first, second):
        return sum(kernel(a, b) for a in first for b in second) / (len(first) * len(second))

    return mean(source, source) + mean(target, target) - 2 * mean(source, target)


def slope(function, rows, step=1e-6):
    """Central differences of a function of rows of numbers."""
    gradient = []
    for i, row in enumerate(rows):
        gradient.append([])
        for k in range(len(row)):
            values = []
            for sign in (1, -1):
                changed = [list(r) for r in rows]
                changed[i][k] += sign * step
                values.append(function(changed))
            gradient[-1].append((values[0] - values[1]) / (2 * step))
    return gradient
