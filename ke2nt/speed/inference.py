"""What prediction costs: the bare model's forward pass, and `predict` over a split."""

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
from ke2nt.speed.measure import take_turns
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
) -> dict[str, Any]:
    """Images a second of `bare`, the forward pass on one fixed batch, and of `predict`.

    Args:
        model: Any recognizer.
        batch_size: Images a forward pass.
        steps: Batches of one measurement.
        rounds: Measurements of each, in turns.
        device: Where to compute; None: where the model is.
        precision: As in `predict`.

    Returns:
        Plain JSON: the rates, `predict_over_bare`, memory, machine, settings.
    """
    if device is not None:
        model.to(device)
    model.eval()
    where = next(model.parameters()).device
    size = model.preprocessing.image_size
    split = random_faces(batch_size * steps, size)
    tensors = FaceTensors(split, size, memory="ram")

    @contextmanager
    def bare() -> Iterator[Callable[[], int]]:
        images = torch.randn(batch_size, 3, size, size, device=where)
        half = resolve_precision(precision, where) == "bf16"

        @torch.inference_mode()
        def work() -> int:
            with torch.autocast(where.type, dtype=torch.bfloat16, enabled=half):
                for _ in range(steps):
                    model(images)
            return steps * batch_size

        yield work

    @contextmanager
    def whole() -> Iterator[Callable[[], int]]:
        yield lambda: len(
            compute_predictions(model, tensors, batch_size=batch_size, precision=precision)
        )

    rates = take_turns({"bare": bare, "predict": whole}, where, rounds=rounds)
    speed = {name: rate.images_per_second for name, rate in rates.items()}
    return {
        **{name: round(value, 2) for name, value in speed.items()},
        "predict_over_bare": round(speed["predict"] / speed["bare"], 4),
        "unit": "images/s",
        "detail": {name: rate.to_dict() for name, rate in rates.items()},
        "settings": {
            "image_size": size,
            "batch_size": batch_size,
            "precision": resolve_precision(precision, where),
            "device": str(where),
            "threads": torch.get_num_threads(),
            "steps": steps,
            "rounds": rounds,
        },
        "machine": machine(),
        "versions": package_versions(),
    }
