"""What can go wrong inside a step: a loss that is not finite, too little memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from safetensors.torch import save

from ke2nt.config.schema import TrainConfig
from ke2nt.errors import TrainingError
from ke2nt.runtime.atomic import write_bytes, write_json
from ke2nt.train.run import RunDirectory

__all__ = ["not_finite", "out_of_memory_explained"]


def not_finite(
    run: RunDirectory, facts: dict[str, Any], pixels: torch.Tensor, labels: torch.Tensor
) -> TrainingError:
    """Keep the batch in the run directory; the error to raise.

    `not_finite.safetensors` holds the pixels as they went in, augmented, float (B, 3, S, S) in
    0..255, and the labels; `not_finite.json` the facts, sample names among them.
    """
    tensors = {"pixels": pixels.cpu().contiguous(), "labels": labels.cpu().contiguous()}
    write_bytes(run.path / "not_finite.safetensors", save(tensors))
    write_json(run.path / "not_finite.json", facts)
    return TrainingError(
        "the loss is not finite any more",
        found=f"{facts['loss']} in epoch {facts['epoch']}, step {facts['step']}",
        where=run.path,
        hint="Lower optim.lr, set optim.clip=1.0, or use precision=fp32; optim.not_finite=skip "
        "leaves such steps out. The batch is in not_finite.safetensors; the checkpoints up to the "
        "epoch before are kept.",
    )


@contextmanager
def out_of_memory_explained(config: TrainConfig) -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to lower."""
    try:
        yield
    except RuntimeError as error:
        text = str(error)
        if not isinstance(error, torch.OutOfMemoryError) and "enough memory" not in text:
            raise
        raise TrainingError(
            "not enough memory for a training step",
            found=f"optim.batch_size={config.optim.batch_size}, "
            f"model.image_size={config.model.image_size}: {text.splitlines()[0]}",
            hint="Lower optim.batch_size first, then model.image_size; go on with "
            f"ke2nt train --resume {config.out} where the run had checkpoints.",
        ) from error
