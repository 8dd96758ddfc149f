"""Randomness that is a function of named numbers, so that any step can be made again alone."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["derive_seed", "seed_everything", "torch_generator"]


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from numbers and names, such as (seed, "augment", epoch, step)."""
    text = "\x1f".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1


def torch_generator(*parts: int | str, device: str = "cpu") -> torch.Generator:
    """A torch generator seeded by `derive_seed(*parts)`."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(*parts))


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
