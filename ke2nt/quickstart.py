"""The whole method on drawn faces: bank, training, evaluation on unseen identities, report."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from ke2nt.config.load import load_config
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.models.load import load_model
from ke2nt.pages.training_page import write_training_report
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

__all__ = ["QuickstartResult", "quickstart"]


@dataclass(frozen=True)
class QuickstartResult:
    """Result of the quickstart.

    Attributes:
        run: The run directory, with the report.
        evaluation: Metrics on faces of people that are in no other split.
        seconds: Wall-clock time.
    """

    run: RunDirectory
    evaluation: Evaluation
    seconds: float


def quickstart(
    out: Path, *, quiet: bool = False, overrides: tuple[str, ...] = ()
) -> QuickstartResult:
    """Train `configs/quickstart.yaml` and evaluate it on the drawn test split.

    Args:
        out: Run directory; it must not hold a run yet.
        quiet: Whether no progress is shown on stderr.
        overrides: `key=value` changes of the configuration.
    """
    started = time.perf_counter()
    config = load_config("quickstart", overrides).model_copy(update={"out": str(out)})
    result = train(config, quiet=quiet, command="ke2nt quickstart", page=False)

    # the selection split chose the epoch, so the score comes from an untouched one
    model = load_model(result.run.model)
    test = get_reader(config.data.name, None, config.data.options).load("test")
    images = FaceTensors(test, config.model.image_size)
    evaluation = evaluate_model(model, images)
    result.run.write("test_metrics.json", evaluation.to_dict())

    # the page of a training run would be about the selection split
    write_training_report(
        result.run.report,
        config=config.model_dump(mode="json"),
        model=model,
        evaluation=evaluation,
        images=images,
        records=result.progress.records,
        best_epoch=result.progress.best_epoch,
        provenance=model.provenance,
        title="ke2nt quickstart: drawn faces, unseen people",
    )
    return QuickstartResult(result.run, evaluation, time.perf_counter() - started)
