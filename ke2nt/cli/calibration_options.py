"""Option groups of `ke2nt calibrate`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

import typer

from ke2nt.cli.options import DatasetOptions, PriorOption
from ke2nt.errors import ConfigError

__all__ = [
    "MIN_FACES",
    "CalibrationData",
    "CalibrationMethod",
    "FamiliarityOptions",
    "FitOptions",
    "PriorOptions",
    "ThresholdOptions",
]


MIN_FACES = 200
"""With fewer images, a temperature may be off by a fifth."""


class CalibrationMethod(StrEnum):
    temperature = "temperature"
    vector = "vector"


@dataclass(frozen=True)
class CalibrationData(DatasetOptions):
    split: Annotated[
        str, typer.Option("--split", help="A split that the model was not trained on.")
    ] = "val"


@dataclass(frozen=True)
class PriorOptions:
    """Which class shares the probabilities assume."""

    prior: PriorOption = None
    shares_of: Annotated[
        str | None,
        typer.Option(
            "--shares-of",
            metavar="SPLIT",
            help="Take the class shares of the training data from the labels of this split, for "
            "models that do not store them.",
        ),
    ] = None


@dataclass(frozen=True)
class FitOptions:
    """How the calibration is fitted."""

    method: Annotated[
        CalibrationMethod,
        typer.Option("--method", help="vector: a weight and a bias for each class."),
    ] = CalibrationMethod.temperature
    folds: Annotated[
        int, typer.Option("--folds", min=2, help="Folds for the metrics after calibration.")
    ] = 5
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the folds.")] = 0
    clean_only: Annotated[
        bool,
        typer.Option("--clean-only", help="Fit to the images alone, without degraded copies."),
    ] = False
    force: Annotated[
        bool, typer.Option("--force", help=f"Fit even to fewer than {MIN_FACES} images.")
    ] = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments that the functions of the fit share."""
        return {"method": self.method.value, "folds": self.folds, "seed": self.seed}


@dataclass(frozen=True)
class FamiliarityOptions:
    """How the model learns what is no face, and what is unlike the faces that it knows."""

    reject_rate: Annotated[
        float,
        typer.Option(
            "--reject-rate", help="Share of these faces that may be taken for no face (not 0)."
        ),
    ] = 0.005
    unfamiliar_rate: Annotated[
        float,
        typer.Option(
            "--unfamiliar-rate", help="Share of these faces that may be flagged as unfamiliar."
        ),
    ] = 0.01
    no_familiarity: Annotated[
        bool, typer.Option("--no-familiarity", help="Leave the stored familiarity as it is.")
    ] = False

    def check(self) -> None:
        """Check the rates.

        Raises:
            ConfigError: A rate is not between 0 and 1.
        """
        rates = {"--reject-rate": self.reject_rate, "--unfamiliar-rate": self.unfamiliar_rate}
        for option, rate in rates.items():
            if not 0 < rate < 1:
                raise ConfigError(
                    f"{option} is out of range", expected="between 0 and 1", found=rate
                )


@dataclass(frozen=True)
class ThresholdOptions:
    """Which predictions are withheld; one option at most."""

    max_risk: Annotated[
        float | None,
        typer.Option(
            "--max-risk",
            min=0,
            max=1,
            help="Withhold low-confidence predictions so that at most this share of the others is "
            "wrong.",
        ),
    ] = None
    coverage: Annotated[
        float | None,
        typer.Option(
            "--coverage",
            min=0,
            max=1,
            help="Withhold low-confidence predictions, but make this share of them.",
        ),
    ] = None
    min_confidence: Annotated[
        float | None,
        typer.Option(
            "--min-confidence", min=0, max=1, help="Withhold predictions below this confidence."
        ),
    ] = None

    by_class: Annotated[
        bool,
        typer.Option(
            "--by-class",
            help="Meet --max-risk or --coverage for each predicted class, so that rare ones are "
            "not always withheld.",
        ),
    ] = False

    def check(self) -> None:
        """Check that thresholds by class have a target.

        Raises:
            ConfigError: They have none.
        """
        if self.by_class and self.max_risk is None and self.coverage is None:
            raise ConfigError("--by-class needs a target", expected="--max-risk or --coverage")

    def targets(self) -> dict[str, float | None]:
        """Return the arguments of `add_threshold`; empty if no threshold is requested."""
        values = {
            "risk": self.max_risk,
            "coverage": self.coverage,
            "confidence": self.min_confidence,
        }
        return {} if set(values.values()) == {None} else values
