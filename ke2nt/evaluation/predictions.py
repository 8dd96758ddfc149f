"""Class probabilities of a model for every readable image of a split."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError, ModelError
from ke2nt.runtime.devices import Precision, resolve_precision
from ke2nt.runtime.distributed import gather_objects, rank, world_size
from ke2nt.runtime.progress import track

__all__ = ["Predictions", "compute_predictions"]


@dataclass(frozen=True)
class Predictions:
    """What a model answered for N images, in split order.

    Attributes:
        probabilities: float64 (N, K), rows sum to 1; calibrated where the model is.
        labels: int64 (N,), true class indices in `data_classes`.
        names: N sample names.
        classes: The model's label set, K classes.
        data_classes: The label set of the data; it may differ from the model's.
        embeddings: float32 (N, D) expression embeddings, not normalized, where asked for.
        failed: (name, reason) of every image that could not be read; none of them is among the N.
        logits: float64 (V, N, K), as the model gives them, of V = 1 view of each image, or of 2
            where it was averaged with its mirror image; None where they are not known.
        calibrated: Whether the probabilities are.
    """

    probabilities: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    classes: tuple[str, ...]
    data_classes: tuple[str, ...]
    embeddings: np.ndarray | None
    failed: tuple[tuple[str, str], ...]
    logits: np.ndarray | None = None
    calibrated: bool = False

    def __len__(self) -> int:
        return len(self.names)

    def uncalibrated(self) -> np.ndarray | None:
        """Probabilities as they were before calibration, float64 (N, K); None without logits."""
        if self.logits is None:
            return None
        return torch.from_numpy(self.logits).softmax(dim=-1).mean(dim=0).numpy()


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode and give every module its own mode back afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _forward(model: Any, images: Tensor, precision: Precision) -> tuple[Tensor, Tensor]:
    """float64 logits on the CPU, and embeddings."""
    half = resolve_precision(precision, images.device) == "bf16"
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=half):
        output = model(images)
    logits = output.logits.float().cpu().double()
    if not logits.isfinite().all():
        raise ModelError(
            "the model gives logits that are not finite",
            hint="The weights are damaged, or training diverged; a lower learning rate may help.",
        )
    return logits, output.embeddings


@torch.inference_mode()
def compute_predictions(
    model: Any,
    images: FaceTensors,
    *,
    batch_size: int = 128,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    flip_tta: bool = False,
    embeddings: bool = False,
    quiet: bool = True,
) -> Predictions:
    """Predict every readable image of a split; the model's training mode is left as it was.

    Where the model has a calibration, the probabilities are calibrated. Several processes share
    the batches, each image once, and all of them get all predictions.

    Args:
        model: A recognizer with `classes` and `preprocessing`.
        images: The split, decoded at the model's image size.
        batch_size: Images a forward pass.
        device: Where to compute; the model is moved there. None: where the model is.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the device computes in it
            natively, fp32 elsewhere.
        flip_tta: Average the probabilities of each image and its mirror image.
        embeddings: Keep the expression embeddings, those of the image that is not mirrored.
        quiet: No progress on stderr.

    Raises:
        DataError: The image size is not the model's, or no image can be read.
        ModelError: The model's logits are not finite.
    """
    preprocessing = model.preprocessing
    if images.image_size != preprocessing.image_size:
        raise DataError(
            "the images do not have the model's size",
            expected=f"{preprocessing.image_size} px",
            found=f"{images.image_size} px",
        )
    if device is not None:
        with torch.inference_mode(False):  # parameters that moved within it could not be trained
            model.to(device)
    images.agree()
    device = next(model.parameters()).device
    logits: list[Tensor] = []
    vectors: list[Tensor] = []
    indices: list[Tensor] = []
    split = images.split
    chunks = images.usable.split(batch_size)[rank() :: world_size()]
    mine = images.batches(batch_size, order=torch.cat(chunks)) if chunks else iter(())
    label = f"predicting {split.dataset} {split.split}"
    with _evaluation_mode(model):
        for batch in track(mine, label, total=len(chunks), quiet=quiet):
            pixels = preprocessing.normalize(batch.pixels.to(device))
            views, vector = _forward(model, pixels, precision)
            views = views[None]
            if flip_tta:
                mirrored, _ = _forward(model, pixels.flip(-1), precision)
                views = torch.cat([views, mirrored[None]])
            logits.append(views)
            indices.append(batch.indices)
            if embeddings:
                vectors.append(vector.float().cpu())
    shares = gather_objects((logits, vectors, indices))
    images.agree()
    logits = [part for share in shares for part in share[0]]
    vectors = [part for share in shares for part in share[1]]
    indices = [part for share in shares for part in share[2]]
    failed = images.failed
    if not logits:
        raise DataError(
            "no image of the split can be read",
            where=f"{split.dataset} {split.split}",
            found="; ".join(f"{n}: {why}" for n, why in list(failed.items())[:3]),
        )
    order, place = torch.cat(indices).sort()
    raw = torch.cat(logits, dim=1)[:, place]
    calibration = getattr(model, "calibration", None)
    scaled = raw if calibration is None else calibration.apply(raw)
    return Predictions(
        probabilities=scaled.softmax(dim=-1).mean(dim=0).numpy(),
        labels=split.labels()[order.numpy()],
        names=tuple(split.samples[i].name for i in order),
        classes=tuple(model.classes),
        data_classes=tuple(split.classes),
        embeddings=torch.cat(vectors)[place].numpy() if embeddings else None,
        failed=tuple(failed.items()),
        logits=raw.numpy(),
        calibrated=calibration is not None,
    )
