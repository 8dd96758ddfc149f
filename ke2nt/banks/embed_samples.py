"""Embed images in batches, decoding ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from ke2nt.banks.image_files import EmbeddedImages
from ke2nt.data.sample import FaceSample
from ke2nt.errors import ImageReadError, ModelError
from ke2nt.runtime.l2_normalize import l2_normalize_checked
from ke2nt.vlm.base import ImageEncoder

__all__ = ["embed_samples"]

_THREADS = 2
_AHEAD = 2  # batches decoded before they are needed


@torch.inference_mode()
def embed_samples(
    encoder: ImageEncoder,
    samples: Sequence[FaceSample],
    *,
    batch_size: int,
    device: torch.device,
    bf16: bool,
) -> Iterator[EmbeddedImages]:
    """Embed samples batch by batch.

    Args:
        encoder: An encoder that is loaded on `device`.
        samples: The images.
        batch_size: Images in a forward pass.
        device: Where to compute.
        bf16: Whether to compute with bfloat16 autocast.

    Yields:
        Embeddings of the next `batch_size` samples; positions of failures count from the first
        sample of the batch.

    Raises:
        ModelError: An embedding is zero or not finite.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        waiting: deque[list[Future[np.ndarray]]] = deque()
        starts = iter(range(0, len(samples), batch_size))
        while True:
            # keep the threads a few batches ahead of the encoder
            while len(waiting) <= _AHEAD and (start := next(starts, None)) is not None:
                batch = samples[start : start + batch_size]
                waiting.append([pool.submit(encoder.preprocess, s.source) for s in batch])

            if not waiting:
                return
            pixels, failed = _collect(waiting.popleft())
            embeddings = _embed(encoder, pixels, device, bf16)
            yield EmbeddedImages(embeddings, failed, encoder.logit_scale)


def _collect(batch: list[Future[np.ndarray]]) -> tuple[list[np.ndarray], dict[int, str]]:
    """Decoded images of a batch, and position → reason of those that cannot be read."""
    pixels: list[np.ndarray] = []
    failed: dict[int, str] = {}
    for position, decoding in enumerate(batch):
        try:
            pixels.append(decoding.result())
        except ImageReadError as error:
            failed[position] = str(error)
    return pixels, failed


def _embed(
    encoder: ImageEncoder, pixels: list[np.ndarray], device: torch.device, bf16: bool
) -> np.ndarray:
    """float32 (B, D), unit norm; (0, 0) without images."""
    if not pixels:
        return np.zeros((0, 0), dtype=np.float32)

    # (B, 3, H, W) uint8
    images = torch.from_numpy(np.stack(pixels)).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16):
        features = encoder.encode_image(images)

    # in float32, the dtype of cached image embeddings; text embeddings are normalized in float64
    no_direction = ModelError(
        "an image embedding is zero or not finite and has no direction",
        hint="The weights are damaged; if this happens only in bf16, use fp32.",
    )
    return l2_normalize_checked(features.float().cpu(), no_direction).numpy()
