"""Images through a tower, in batches; the next ones are decoded meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from ke2nt.banks.image_rows import Rows
from ke2nt.data.sample import FaceSample
from ke2nt.errors import ImageReadError, ModelError
from ke2nt.runtime.l2_normalize import l2_normalize_checked
from ke2nt.vlm.image_encoder import ImageEncoder, Tower

__all__ = ["embed_samples"]

_READERS = 2
_AHEAD = 2  # batches decoded before they are needed


@torch.inference_mode()
def embed_samples(
    encoder: ImageEncoder,
    tower: Tower,
    samples: Sequence[FaceSample],
    *,
    batch_size: int,
    bf16: bool,
) -> Iterator[Rows]:
    """Embed samples batch by batch.

    Yields:
        Rows of the next `batch_size` samples; positions of failures count from the batch's first.

    Raises:
        ModelError: An embedding is zero or not finite.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        waiting: deque[list[Future[np.ndarray]]] = deque()
        starts = iter(range(0, len(samples), batch_size))
        while True:
            while len(waiting) <= _AHEAD and (start := next(starts, None)) is not None:
                batch = samples[start : start + batch_size]
                waiting.append([pool.submit(encoder.read, sample.source) for sample in batch])
            if not waiting:
                return
            yield _embed(waiting.popleft(), tower, bf16)


def _embed(batch: list[Future[np.ndarray]], tower: Tower, bf16: bool) -> Rows:
    pixels: list[np.ndarray] = []
    failed: dict[int, str] = {}
    for position, reading in enumerate(batch):
        try:
            pixels.append(reading.result())
        except ImageReadError as error:
            failed[position] = str(error)
    if not pixels:
        return Rows(np.zeros((0, 0), dtype=np.float32), failed, tower.logit_scale)
    images = torch.from_numpy(np.stack(pixels)).to(tower.device)
    with torch.autocast(tower.device.type, dtype=torch.bfloat16, enabled=bf16):
        features = tower(images)

    # in float32, the dtype of cached image embeddings; text embeddings are normalized in float64
    no_direction = ModelError(
        "an image embedding is zero or not finite and has no direction",
        hint="The weights are damaged; if this happens in bf16 alone, use fp32.",
    )
    embeddings = l2_normalize_checked(features.float().cpu(), no_direction)
    return Rows(embeddings.numpy(), failed, tower.logit_scale)
