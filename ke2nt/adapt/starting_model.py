"""The model that an adaptation starts from: a saved one, or one trained on the source first."""

from __future__ import annotations

from pathlib import Path

from ke2nt.adapt.domains import source_form
from ke2nt.config.adapt import AdaptConfig
from ke2nt.models.base import ExpressionModel
from ke2nt.models.load import load_model
from ke2nt.runtime.distributed import barrier, is_main
from ke2nt.runtime.seeding import seed_everything
from ke2nt.training.initial_model import build_initial_model
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

__all__ = ["ADAPT_COMMAND", "load_start", "load_uncalibrated", "train_source"]

ADAPT_COMMAND = "ke2nt adapt"
_OF_SOURCE = ("evaluations", "predict", "class_prior")  # facts of a card on the source domain


def train_source(config: AdaptConfig, quiet: bool) -> Path:
    """Train the model to start from, unless that is done; return its run directory."""
    settings = config.source_run()
    run = RunDirectory(settings.out)
    if not config.adapt.train_source:
        _save_initial_model(config, run)
        return run.path

    # an interrupted source training is resumed
    if not run.finished:
        train(settings, resume=run.exists, quiet=quiet, command=ADAPT_COMMAND)
    return run.path


def _save_initial_model(config: AdaptConfig, run: RunDirectory) -> None:
    """Save the model that nothing has been trained on, unless that is done."""
    if is_main() and not run.model.exists():
        seed_everything(config.seed)
        model = build_initial_model(config.source_run(), *source_form(config))
        model.save_pretrained(run.model)
    barrier()


def load_uncalibrated(name: str | Path) -> ExpressionModel:
    """Load a model without its calibration, which was fitted on the source domain."""
    model = load_model(name)
    model.calibration = model.familiarity = None
    return model


def load_start(name: str | Path) -> ExpressionModel:
    """Load the model to adapt, without what its card says of the source domain."""
    model = load_uncalibrated(name)
    model.card = {k: v for k, v in model.card.items() if k not in _OF_SOURCE}
    return model
