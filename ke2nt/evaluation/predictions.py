"""Class probabilities of a model for every readable image of a split."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import DataError, ModelError
from ke2nt.runtime.devices import Precision, resolve_precision
from ke2nt.runtime.distributed import gather_objects, rank, world_size
from ke2nt.runtime.progress import track
from ke2nt.runtime.sharding import is_sharded

__all__ = ["Predictions", "compute_predictions"]


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for N images, in split order.

    Attributes:
        probabilities: float64 (N, K), rows sum to 1; calibrated if the model has a calibration.
        labels: int64 (N,), true class indices in `data_classes`.
        names: N sample names.
        classes: The model's label set, K classes.
        data_classes: The label set of the data; it may differ from the model's.
        embeddings: float32 (N, D) expression embeddings, not normalized, if requested.
        failed: (name, reason) of every image that could not be read; none of them is among the N.
        logits: float64 (V, N, K), uncalibrated, of V = 1 view of each image, or of V = 2 if each
            image was averaged with its mirror image; None if unknown.
        calibrated: Whether the probabilities are calibrated.
        prior_offsets: float64 (K,) that a class prior adds to logits; None without one.
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
    prior_offsets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def uncalibrated(self) -> np.ndarray | None:
        """Return the probabilities before calibration, float64 (N, K); None without logits.

        They assume the same class prior.
        """
        if self.logits is None:
            return None
        logits = self.logits if self.prior_offsets is None else self.logits + self.prior_offsets
        return torch.from_numpy(logits).softmax(dim=-1).mean(dim=0).numpy()


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
    """Predict every readable image of a split, without changing the model's training mode.

    Probabilities are calibrated if the model has a calibration. Several processes share the
    batches, each image once, and all of them get all predictions.

    Args:
        model: A recognizer with `classes` and `preprocessing`.
        images: The split, decoded at the model's image size.
        batch_size: Images per forward pass.
        device: Device to compute on; the model is moved there. None: where the model is.
        precision: "fp32", "bf16" (autocast), or "auto": bf16 where the device computes in it
            natively, fp32 elsewhere.
        flip_tta: Average the probabilities of each image and its mirror image.
        embeddings: Keep the expression embeddings of the images (not of their mirror images).
        quiet: Show no progress on stderr.

    Raises:
        DataError: The image size is not the model's, or no image can be read.
        ModelError: The model's logits are not finite.
    """
    if images.image_size != model.preprocessing.image_size:
        raise DataError(
            "the images do not have the model's size",
            expected=f"{model.preprocessing.image_size} px",
            found=f"{images.image_size} px",
        )
    if device is not None:
        # Parameters moved within inference mode could not be trained afterwards.
        with torch.inference_mode(False):
            model.to(device)

    # Processes agree on unreadable images before the batches are dealt out, and again after.
    images.agree()
    predict = _BatchPredictor(model, precision, flip_tta=flip_tta, embeddings=embeddings)
    share = _predict_share(predict, images, batch_size, quiet)
    outputs = _merge_outputs(gather_objects(share))
    images.agree()

    if not outputs.logits:
        raise DataError(
            "no image of the split can be read",
            where=f"{images.split.dataset} {images.split.split}",
            found="; ".join(f"{n}: {why}" for n, why in list(images.failed.items())[:3]),
        )
    return _build_predictions(model, images, outputs, embeddings=embeddings)


@dataclass
class _Outputs:
    """Outputs of some batches: logits (V, B, K), embeddings (B, D), positions in the split (B,)."""

    logits: list[Tensor] = field(default_factory=list)
    embeddings: list[Tensor] = field(default_factory=list)
    indices: list[Tensor] = field(default_factory=list)


class _BatchPredictor:
    """Calls a model on batches of pixels, plain and mirrored."""

    def __init__(
        self, model: Any, precision: Precision, *, flip_tta: bool, embeddings: bool
    ) -> None:
        self.model = model
        self._device = next(model.parameters()).device
        self._precision = precision
        self._flip_tta = flip_tta
        self._embeddings = embeddings

    def add(self, outputs: _Outputs, pixels: Tensor, indices: Tensor) -> None:
        """Predict uint8 pixels (B, 3, S, S) and append the results to `outputs`."""
        inputs = self.model.preprocessing.normalize(pixels.to(self._device))
        logits, embeddings = self._forward(inputs)

        # (V, B, K)
        views = logits[None]
        if self._flip_tta:
            mirrored, _ = self._forward(inputs.flip(-1))
            views = torch.cat([views, mirrored[None]])

        outputs.logits.append(views)
        outputs.indices.append(indices)
        if self._embeddings:
            outputs.embeddings.append(embeddings.float().cpu())

    def _forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """float64 logits (B, K) on the CPU, and embeddings (B, D)."""
        half = resolve_precision(self._precision, inputs.device) == "bf16"
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=half):
            output = self.model(inputs)

        logits = output.logits.float().cpu().double()
        if not logits.isfinite().all():
            raise ModelError(
                "the model's logits are not finite",
                hint="The weights are damaged, or training diverged; try a lower learning rate.",
            )
        return logits, output.embeddings


def _predict_share(
    predict: _BatchPredictor, images: FaceTensors, batch_size: int, quiet: bool
) -> _Outputs:
    """Predict this process's share of the batches."""
    # Every world_size-th batch, starting at this process's rank.
    all_chunks = images.usable.split(batch_size)
    chunks = all_chunks[rank() :: world_size()]
    batches = images.batches(batch_size, order=torch.cat(chunks)) if chunks else iter(())
    label = f"predicting {images.split.dataset} {images.split.split}"

    outputs = _Outputs()
    with _evaluation_mode(predict.model):
        for batch in track(batches, label, total=len(chunks), quiet=quiet):
            predict.add(outputs, batch.pixels, batch.indices)

        # a forward pass of a sharded model needs every process
        if world_size() > 1 and is_sharded(predict.model):
            rounds = math.ceil(len(all_chunks) / world_size())
            blank = torch.zeros(1, 3, images.image_size, images.image_size, dtype=torch.uint8)
            for _ in range(rounds - len(outputs.indices)):
                predict.add(_Outputs(), blank, torch.zeros(1, dtype=torch.int64))
    return outputs


def _merge_outputs(shares: list[_Outputs]) -> _Outputs:
    return _Outputs(
        logits=[part for share in shares for part in share.logits],
        embeddings=[part for share in shares for part in share.embeddings],
        indices=[part for share in shares for part in share.indices],
    )


def _build_predictions(
    model: Any, images: FaceTensors, outputs: _Outputs, *, embeddings: bool
) -> Predictions:
    """Put the outputs of all processes into split order, and calibrate them."""
    split = images.split
    # Positions in the split, ascending, and where each of them is in the outputs.
    order, positions = torch.cat(outputs.indices).sort()
    logits = torch.cat(outputs.logits, dim=1)[:, positions]

    # Views are averaged as probabilities, after each was calibrated.
    calibration = getattr(model, "calibration", None)
    scaled = logits if calibration is None else calibration.apply(logits)
    offsets = None
    if calibration is not None and calibration.offsets is not None:
        offsets = np.array(calibration.offsets)

    return Predictions(
        probabilities=scaled.softmax(dim=-1).mean(dim=0).numpy(),
        labels=split.labels()[order.numpy()],
        names=tuple(split.samples[i].name for i in order),
        classes=tuple(model.classes),
        data_classes=tuple(split.classes),
        embeddings=torch.cat(outputs.embeddings)[positions].numpy() if embeddings else None,
        failed=tuple(images.failed.items()),
        logits=logits.numpy(),
        calibrated=calibration is not None and calibration.is_fitted,
        prior_offsets=offsets,
    )


@contextmanager
def _evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, and restore the mode of every module afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
