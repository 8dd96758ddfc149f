"""Statistics of batch normalization measured anew, on other images or after a change of weights."""

from __future__ import annotations

import torch

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.batch_norms import batch_norms

__all__ = ["recompute_statistics"]


@torch.no_grad()
def recompute_statistics(
    model: ExpressionModel, images: FaceTensors, *, batch_size: int = 128
) -> None:
    """Replace the batch statistics by those of some images: AdaBN (https://arxiv.org/abs/1603.04779).

    The statistics are the mean over batches of equal size. The model ends in evaluation mode.

    Args:
        model: Changed in place.
        images: Unlabeled images in the model's size.
        batch_size: Images per forward pass; fewer where there are fewer.

    Raises:
        ModelError: The model has no batch normalization.
    """
    layers = batch_norms(model)
    if not layers:
        raise ModelError(
            "the model has no batch normalization whose statistics could be replaced",
            expected="a backbone with batch normalization, such as a ResNet",
            found=model.architecture.get("backbone"),
            hint="adapt.method=entropy also works with other normalization layers.",
        )

    # without momentum, a layer keeps the plain mean over all batches
    device = next(model.parameters()).device
    momenta = [layer.momentum for layer in layers]
    model.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum, layer.training = None, True

    # a smaller last batch would count as much as a full one, so it is dropped
    try:
        for batch in images.batches(min(batch_size, len(images.usable)), drop_last=True):
            model(model.preprocessing.normalize(batch.pixels.to(device)))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum, layer.training = momentum, False
