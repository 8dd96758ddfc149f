"""A calibration as tables, and what changed from the one that was stored before."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ke2nt.cli.output import print_line, print_notes, print_table
from ke2nt.runtime.formatting import percent, percent_cell

if TYPE_CHECKING:
    from ke2nt.models.calibration import Calibration
    from ke2nt.models.familiarity import Familiarity

__all__ = ["compare_with_stored", "show_calibration"]

_METRICS = {"ece": "calibration error (ECE)", "nll": "log-loss", "accuracy": "accuracy"}
_GROUPS = {"": "", "degraded_": ", degraded"}
_TIMES = ("before", "after", "after_same_data")


def compare_with_stored(calibration: Calibration, stored: Calibration | None) -> list[str]:
    """Return notes on a fit that makes things worse, or replaces a better one.

    Args:
        calibration: The new calibration.
        stored: The one that the model's folder holds, or None.
    """
    notes = []
    metrics = calibration.metrics
    # with degraded copies, a worse fit to the images themselves may be the price of a better one
    is_compromise = metrics.get("degraded_nll_after", math.inf) < metrics.get(
        "degraded_nll_before", 0
    )
    if metrics["nll_after"] > metrics["nll_before"] and not is_compromise:
        notes.append(
            "The fit makes probabilities worse on held-out images, perhaps because there are too "
            "few."
        )
    notes += _describe_limit(calibration)
    if stored is None:
        return notes

    # a fit to fewer images is usually a mistake
    if stored.fitted_on.get("n", 0) > calibration.fitted_on["n"]:
        notes.append(f"It replaces a calibration fitted to {stored.fitted_on['n']:,} images.")
    if stored.min_confidence and calibration.min_confidence is None:
        notes.append(
            f"Predictions below {stored.min_confidence:.4f} were withheld until now; the new "
            "calibration withholds none. Set a threshold with --max-risk, --coverage or "
            "--min-confidence."
        )
    return notes


def _describe_limit(calibration: Calibration) -> list[str]:
    """Say so if the images alone would have had a smaller temperature."""
    images = calibration.metrics.get("temperature_images")
    if images is None or images >= min(1, calibration.temperature):
        return []
    degraded = calibration.metrics["temperature_degraded"]
    return [
        f"The images alone have a temperature of {images:.3f}, degraded copies of up to "
        f"{degraded:.3f}: the smaller one would make predictions for worse images too confident. "
        "--clean-only uses it."
    ]


def show_calibration(
    calibration: Calibration,
    familiarity: Familiarity | None,
    classes: tuple[str, ...],
    folder: str,
    notes: list[str],
) -> None:
    """Print the fit, its metrics, the threshold and the familiarity."""
    fitted_on, metrics = calibration.fitted_on, calibration.metrics
    print_line(f"{fitted_on['dataset']} {fitted_on['split']}: {fitted_on['n']:,} images")
    _show_parameters(calibration, classes)

    # the honest metrics after the fit are those on held-out folds
    rows = []
    for prefix, suffix in _GROUPS.items():
        if f"{prefix}ece_before" not in metrics:
            continue
        for name, title in _METRICS.items():
            values = [metrics[f"{prefix}{name}_{time}"] for time in _TIMES]
            rows.append([title + suffix, *(f"{value:z.4f}" for value in values)])
    print_table(
        ["metric", "before #", "after #", "after, same images #"],
        rows,
        title=f"After: each of {metrics['folds']} folds with a fit to the others",
    )

    if calibration.prior:
        shares = ", ".join(f"{k} {percent(v)}" for k, v in calibration.prior.items())
        print_line(f"class shares assumed by probabilities: {shares}")
    if calibration.class_min_confidence is not None:
        _show_class_thresholds(calibration)
    if calibration.min_confidence is not None:
        _show_threshold(calibration)
    if familiarity is not None:
        metrics = familiarity.metrics
        print_line(
            f"no face: {percent(metrics['others_rejected'])} of {metrics['others']:,} backgrounds "
            f"and parts of faces, {percent(metrics['faces_rejected'])} of the faces; unfamiliar: "
            f"{percent(metrics['faces_unfamiliar'])} of the faces"
        )
    print_notes(notes)
    print_line(f"stored in {folder}")


def _show_parameters(calibration: Calibration, classes: tuple[str, ...]) -> None:
    if calibration.weight is None or calibration.bias is None:
        print_line(f"temperature {calibration.temperature:.4f}")
        return
    parameters = zip(classes, calibration.weight, calibration.bias, strict=True)
    print_table(
        ["class", "weight #", "bias #"],
        [[name, f"{weight:.3f}", f"{bias:.3f}"] for name, weight, bias in parameters],
    )


def _show_threshold(calibration: Calibration) -> None:
    coverage, risk = calibration.threshold["coverage"], calibration.threshold["risk"]
    wrong = "" if risk is None else f", {percent(risk)} of them wrong"
    below = f"{calibration.min_confidence:.4f}"
    if calibration.class_min_confidence is not None:
        below = "the threshold of their class"
    print_line(
        f"predictions below {below} are withheld: {percent(coverage)} of the faces get one{wrong}"
    )


def _show_class_thresholds(calibration: Calibration) -> None:
    """Print the threshold of each predicted class, and what it achieves."""
    rows = []
    for name, facts in calibration.threshold["by_class"].items():
        values = [percent_cell(facts["coverage"]), percent_cell(facts["risk"])]
        met = "" if facts["met"] else "not met"
        rows.append([name, facts["n"], f"{facts['min_confidence']:.4f}", *values, met])
    columns = ["predicted", "n #", "threshold #", "answered %", "wrong %", ""]
    print_table(columns, rows, title="Thresholds by predicted class")
