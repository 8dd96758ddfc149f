"""Pictures in words: captions, and texts for readers who do not see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.evaluation.coverage import CoverageRisk
from ke2nt.evaluation.groups import GroupReport
from ke2nt.evaluation.metrics import ClassificationReport

__all__ = [
    "describe_calibration",
    "describe_confusions",
    "describe_coverage",
    "describe_groups",
    "describe_recalls",
    "describe_similarity",
]


def _percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%"


def describe_confusions(report: ClassificationReport, *, most: int = 3) -> str:
    """The most frequent confusions, as shares of their true class."""
    off = report.confusion.astype(float)
    np.fill_diagonal(off, 0)
    support = np.maximum(report.confusion.sum(axis=1), 1)
    cells = [divmod(int(cell), len(report.classes)) for cell in np.argsort(-off, axis=None)[:most]]
    parts = [
        f"{report.classes[t]} read as {report.classes[p]} "
        f"({off[t, p]:.0f} images, {_percent(off[t, p] / support[t])} of {report.classes[t]})"
        for t, p in cells
        if off[t, p]
    ]
    return f"Most frequent confusions: {'; '.join(parts)}." if parts else "No confusions."


def describe_recalls(report: ClassificationReport) -> str:
    """The best and the worst recognized class."""
    known = [(c.recall, c.name) for c in report.per_class if c.recall is not None]
    (low, worst), (high, best) = min(known), max(known)
    return f"Best recognized: {best} ({_percent(high)}); worst: {worst} ({_percent(low)})."


def describe_calibration(report: ClassificationReport) -> str:
    """Mean confidence against accuracy."""
    total = sum(b.count * b.confidence for b in report.calibration if b.confidence is not None)
    confidence = total / report.n
    kind = "over-confident" if confidence > report.accuracy else "under-confident"
    return (
        f"Mean confidence {_percent(confidence, 1)}, accuracy {_percent(report.accuracy, 1)}: "
        f"on the whole {kind}. "
        f"ECE {report.ece:.3f}; log-loss {report.nll:.3f}; Brier {report.brier:.3f}."
    )


def describe_coverage(curve: CoverageRisk, min_confidence: float | None) -> str:
    """How many answers are wrong when the least sure ones are withheld."""
    text = f"Of all answers {_percent(curve.risk[-1], 1)} are wrong"
    half = int(np.argmax(curve.coverage >= 0.5))
    text += (
        f"; of the surest {_percent(curve.coverage[half])}, {_percent(curve.risk[half], 1)}. "
        f"Mean over the curve (AURC): {_percent(curve.area, 1)}."
    )
    if min_confidence is None:
        return text
    share, wrong = curve.at(min_confidence)
    given = "" if wrong is None else f", {_percent(wrong, 1)} of them wrongly"
    return (
        f"{text} The model withholds answers below {_percent(min_confidence, 1)} confidence: "
        f"{_percent(share, 1)} of these faces are answered{given}."
    )


def describe_groups(report: GroupReport) -> str:
    """How far groups of people are apart."""
    unknown = f" {report.unknown:,} images are in no group." if report.unknown else ""
    if report.gap is None or report.uar_gap is None:
        return f"Fewer than two groups have {report.smallest} images or more.{unknown}"
    few = [group.name for group in report.groups if not group.compared]
    left = f" Left out of this, with few images: {', '.join(few)}." if few else ""
    spread = ""
    if report.gap_interval is not None:
        low, high = report.gap_interval
        spread = f" (95 % interval {100 * low:.1f}–{100 * high:.1f})"
    odds = ""
    if report.odds:
        name, value = max(report.odds.items(), key=lambda item: item[1])
        odds = f" Largest equalized-odds difference of a class: {100 * value:.1f} points ({name})."
    return (
        f"Best: {report.best}, worst: {report.worst}; {100 * report.gap:.1f} points of accuracy "
        f"apart{spread}, {100 * report.uar_gap:.1f} points of UAR.{odds}{left}{unknown}"
    )


def describe_similarity(names: Sequence[str], embeddings: np.ndarray) -> str:
    """The two texts that are closest to each other, and the two that are farthest apart."""
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine = unit @ unit.T
    rows, columns = np.triu_indices(len(names), 1)
    if not len(rows):
        return "One text only."
    pairs = cosine[rows, columns]
    near, far = int(pairs.argmax()), int(pairs.argmin())

    def pair(i: int) -> str:
        return f"{names[rows[i]]} and {names[columns[i]]} ({pairs[i]:.2f})"

    return f"Closest in text: {pair(near)}; farthest apart: {pair(far)}."
