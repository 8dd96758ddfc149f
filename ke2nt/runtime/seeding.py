"""Randomness derived from named numbers, so that any step can be repeated alone."""

from __future__ import annotations

import hashlib
import os
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["derive_seed", "seed_everything", "seed_step", "set_deterministic", "torch_generator"]


def derive_seed(*parts: int | str) -> int:
    """Derive a 63-bit seed from numbers and names, such as (seed, "augment", epoch, step)."""
    text = "\x1f".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def torch_generator(*parts: int | str, device: str = "cpu") -> torch.Generator:
    """Return a torch generator seeded by `derive_seed(*parts)`."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(*parts))


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_step(seed: int, device: torch.device) -> None:
    """Seed torch's generators of the CPU and of one device; `torch.manual_seed` seeds all devices.

    It also records the whole Python stack for each kind of device that has not been used yet, which
    is too slow for a training step.
    """
    import torch

    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def set_deterministic(on: bool) -> None:
    """Set whether torch may only use operations with bit-identical results.

    On a CPU, all operations in use are deterministic anyway. On CUDA this costs speed, and an
    operation without a deterministic version is an error.
    """
    import torch

    if on:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.use_deterministic_algorithms(on)
    torch.backends.cudnn.benchmark = False
