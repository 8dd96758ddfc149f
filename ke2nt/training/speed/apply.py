"""Speed options of a run, applied to its model before training; a step knows nothing of them."""

from __future__ import annotations

from ke2nt.config.schema import TrainConfig
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.distributed import world_size
from ke2nt.training.ema import ModelEma
from ke2nt.training.speed.compile_model import compile_for_training
from ke2nt.training.speed.small_maps import multiply_on_small_maps
from ke2nt.training.speed.sync_batch_norm import synchronize_batch_norm

__all__ = ["apply_model_options"]


def apply_model_options(
    model: ExpressionModel, ema: ModelEma[ExpressionModel] | None, config: TrainConfig
) -> None:
    """Change how a model computes, in place; parameters and saved files stay the same.

    The CUDA graph of a step is not the model's: see `training/gradients.py`.

    Args:
        model: The model that trains, on its device.
        ema: Its average, or None.
        config: `compile` and `optim.sync_batch_norm`.

    Raises:
        TrainingError: The model cannot be compiled.
    """
    if config.compile:
        compile_for_training(model, config)
    else:
        # A compiler does this better; the average computes the same way when it is evaluated.
        multiply_on_small_maps(model)
        if ema is not None:
            multiply_on_small_maps(ema.model)
    if world_size() > 1 and config.optim.sync_batch_norm:
        synchronize_batch_norm(model)
