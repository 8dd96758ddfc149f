"""Throughput of the bare forward pass of a model, and of prediction over a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.devices import Precision, resolve_precision
from ke2nt.runtime.provenance import machine, package_versions
from ke2nt.speed.measure import Contestant, take_turns
from ke2nt.speed.training import random_faces

__all__ = ["measure_inference"]


def measure_inference(
    model: ExpressionModel,
    *,
    batch_size: int = 128,
    steps: int = 8,
    rounds: int = 3,
    device: torch.device | str | None = None,
    precision: Precision = "auto",
    quiet: bool = True,
) -> dict[str, Any]:
    """Measure images per second of `bare`, the forward pass on one fixed batch, and of `predict`.

    Args:
        model: Any recognizer.
        batch_size: Images per forward pass.
        steps: Batches per measurement.
        rounds: Measurements of each, in turns.
        device: Where to compute; None for the device of the model.
        precision: As in `compute_predictions`.
        quiet: Show no progress.

    Returns:
        Plain JSON: the rates, `predict_over_bare`, memory, machine, settings.
    """
    if device is not None:
        model.to(device)
    model.eval()
    model_device = next(model.parameters()).device

    # how much of the speed of the forward pass is left once images are read and scored
    contestants = {
        "bare": _bare_forward(model, model_device, batch_size, steps, precision),
        "predict": _whole_prediction(model, batch_size, steps, precision),
    }
    rates = take_turns(contestants, model_device, rounds=rounds, quiet=quiet)

    speed = {name: rate.images_per_second for name, rate in rates.items()}
    return {
        **{name: round(value, 2) for name, value in speed.items()},
        "predict_over_bare": round(speed["predict"] / speed["bare"], 4),
        "unit": "images/s",
        "detail": {name: rate.to_dict() for name, rate in rates.items()},
        "settings": {
            "image_size": model.preprocessing.image_size,
            "batch_size": batch_size,
            "precision": resolve_precision(precision, model_device),
            "device": str(model_device),
            "threads": torch.get_num_threads(),
            "steps": steps,
            "rounds": rounds,
        },
        "machine": machine(),
        "versions": package_versions(),
    }


def _bare_forward(
    model: ExpressionModel,
    device: torch.device,
    batch_size: int,
    steps: int,
    precision: Precision,
) -> Contestant:
    """The forward pass alone, again and again on one batch."""

    @contextmanager
    def open_forward() -> Iterator[Callable[[], int]]:
        size = model.preprocessing.image_size
        images = torch.randn(batch_size, 3, size, size, device=device)
        use_bf16 = resolve_precision(precision, device) == "bf16"

        @torch.inference_mode()
        def work() -> int:
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=use_bf16):
                for _ in range(steps):
                    model(images)
            return steps * batch_size

        yield work

    return open_forward


def _whole_prediction(
    model: ExpressionModel, batch_size: int, steps: int, precision: Precision
) -> Contestant:
    """Prediction over as many images, from uint8 pixels to calibrated probabilities."""
    size = model.preprocessing.image_size
    tensors = FaceTensors(random_faces(batch_size * steps, size), size, memory="ram")

    @contextmanager
    def open_prediction() -> Iterator[Callable[[], int]]:
        yield lambda: len(
            compute_predictions(model, tensors, batch_size=batch_size, precision=precision)
        )

    return open_prediction
