"""Plots in words: captions, and texts for readers who do not see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ke2nt.evaluation.coverage import CoverageRisk
from ke2nt.evaluation.generalized import GeneralizedMetrics
from ke2nt.evaluation.groups import GroupReport
from ke2nt.evaluation.metrics import ClassificationReport
from ke2nt.runtime.formatting import percent, percent_cell

__all__ = [
    "describe_calibration",
    "describe_confusions",
    "describe_coverage",
    "describe_generalized",
    "describe_groups",
    "describe_recalls",
    "describe_similarity",
    "unbroken_percent",
]


def unbroken_percent(share: float | None, digits: int = 1) -> str:
    """Format as `percent` does, with a no-break space before the unit."""
    return percent(share, digits).replace(" ", "\N{NO-BREAK SPACE}")


def describe_confusions(report: ClassificationReport, *, most: int = 3) -> str:
    """Name the most frequent confusions, as shares of their true class."""
    mistakes = report.confusion.astype(float)
    np.fill_diagonal(mistakes, 0)
    support = np.maximum(report.confusion.sum(axis=1), 1)

    # Flat indices of the matrix, the largest cells first.
    largest = np.argsort(-mistakes, axis=None)[:most]
    parts = []
    for true, predicted in (divmod(int(cell), len(report.classes)) for cell in largest):
        count = mistakes[true, predicted]
        if count:
            name = report.classes[true]
            parts.append(
                f"{name} predicted as {report.classes[predicted]} ({count:.0f} images, "
                f"{unbroken_percent(count / support[true], 0)} of {name})"
            )
    return f"Most frequent confusions: {'; '.join(parts)}." if parts else "No confusions."


def describe_recalls(report: ClassificationReport) -> str:
    """Name the best and the worst recognized class."""
    recalls = [(c.recall, c.name) for c in report.per_class if c.recall is not None]
    (low, worst), (high, best) = min(recalls), max(recalls)
    return (
        f"Best recognized: {best} ({unbroken_percent(high, 0)}); "
        f"worst: {worst} ({unbroken_percent(low, 0)})."
    )


def describe_calibration(report: ClassificationReport) -> str:
    """Compare mean confidence with accuracy."""
    # The bins hold the mean confidences of all samples.
    total = sum(b.count * b.confidence for b in report.calibration if b.confidence is not None)
    confidence = total / report.n
    verdict = "over-confident" if confidence > report.accuracy else "under-confident"
    return (
        f"Mean confidence {unbroken_percent(confidence)}, "
        f"accuracy {unbroken_percent(report.accuracy)}: on the whole {verdict}. "
        f"ECE {report.ece:.3f}; log-loss {report.nll:.3f}; Brier {report.brier:.3f}."
    )


def describe_coverage(curve: CoverageRisk, min_confidence: float | None) -> str:
    """Say how many predictions are wrong if the least confident ones are withheld."""
    # First point with predictions for at least half of the faces.
    half = int(np.argmax(curve.coverage >= 0.5))
    text = (
        f"{unbroken_percent(curve.risk[-1])} of all predictions are wrong; "
        f"among the most confident {unbroken_percent(curve.coverage[half], 0)} of the faces, "
        f"{unbroken_percent(curve.risk[half])}. "
        f"Mean over the curve (AURC): {unbroken_percent(curve.area)}."
    )
    if min_confidence is None:
        return text

    # What the model's own threshold achieves.
    share, wrong = curve.at(min_confidence)
    errors = "" if wrong is None else f", {unbroken_percent(wrong)} of them wrong"
    return (
        f"{text} The model withholds predictions below {unbroken_percent(min_confidence)} "
        f"confidence: it makes a prediction for {unbroken_percent(share)} of these faces{errors}."
    )


def describe_groups(report: GroupReport) -> str:
    """Say how far groups of people are apart."""
    unknown = f" {report.unknown:,} images are in no group." if report.unknown else ""
    if report.gap is None or report.uar_gap is None:
        return f"Fewer than two groups have {report.smallest} images or more.{unknown}"

    # Parts that not every report has.
    interval = ""
    if report.gap_interval is not None:
        interval = f" (95 % interval {percent_cell(report.gap_interval)})"
    odds = ""
    if report.odds:
        name, value = max(report.odds.items(), key=lambda item: item[1])
        odds = (
            f" Largest equalized-odds difference of a class: {percent_cell(value)} points ({name})."
        )
    small = [group.name for group in report.groups if not group.compared]
    left_out = f" Left out of this, with few images: {', '.join(small)}." if small else ""

    return (
        f"Best: {report.best}, worst: {report.worst}; {percent_cell(report.gap)} points of "
        f"accuracy apart{interval}, {percent_cell(report.uar_gap)} points of UAR."
        f"{odds}{left_out}{unknown}"
    )


def describe_generalized(metrics: GeneralizedMetrics) -> str:
    """Give seen, unseen and harmonic mean in one paragraph."""
    seen, unseen, harmonic = metrics.seen, metrics.unseen, metrics.harmonic
    return (
        f"Trained on {', '.join(metrics.seen_classes)}; not on "
        f"{', '.join(metrics.unseen_classes)}. With all of them as possible answers, mean class "
        f"recall is {percent(seen.recall)} over the classes seen in training and "
        f"{percent(unseen.recall)} over the unseen ones (harmonic mean "
        f"{percent(harmonic.recall)}); accuracy is {percent(seen.accuracy)} and "
        f"{percent(unseen.accuracy)} (harmonic mean {percent(harmonic.accuracy)})."
    )


def describe_similarity(names: Sequence[str], embeddings: np.ndarray) -> str:
    """Name the two texts that are closest to each other, and the two that are farthest apart."""
    # Each pair once.
    rows, columns = np.triu_indices(len(names), 1)
    if not len(rows):
        return "One text only."
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[rows, columns]

    def name_pair(i: int) -> str:
        return f"{names[rows[i]]} and {names[columns[i]]} ({cosines[i]:.2f})"

    closest, farthest = name_pair(int(cosines.argmax())), name_pair(int(cosines.argmin()))
    return f"Closest in text: {closest}; farthest apart: {farthest}."
