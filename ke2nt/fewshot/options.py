"""Options of a few-shot experiment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ke2nt.fewshot.names import (
    METHOD_NAMES,
    Shots,
    check_methods,
    check_seeds,
    check_shots,
)

if TYPE_CHECKING:
    import torch

    from ke2nt.runtime.devices import Precision

__all__ = ["FewShotOptions", "SavedModels"]

SavedModels = Literal["none", "largest", "all"]


@dataclass(frozen=True)
class FewShotOptions:
    """What is fitted, and how it is embedded and scored.

    Attributes:
        methods: Some of `METHOD_NAMES`.
        shots: Images of each class, and "all".
        seeds: Seeds of the draws and of the training.
        save_models: Model folders to write: "none"; of each method the one with most shots and the
            first seed ("largest"); or "all".
        cache_dir: Cache folder; `KE2NT_CACHE` or the platform's unless given.
        batch_size: Images per forward pass of the encoder.
        device: Where to embed; None for the GPU if there is one. Methods are fitted on the CPU.
        precision: Precision of the embeddings.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.
        quiet: Show no progress on stderr.

    Raises:
        ConfigError: Methods, shots or seeds are not valid.
    """

    methods: tuple[str, ...] = METHOD_NAMES
    shots: tuple[Shots, ...] = (1, 2, 4, 8, 16)
    seeds: tuple[int, ...] = (1, 2, 3)
    save_models: SavedModels = "largest"
    cache_dir: str | Path | None = None
    batch_size: int = 64
    device: torch.device | str | None = None
    precision: Precision = "fp32"
    bootstrap: int = 1000
    seed: int = 0
    quiet: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "methods", check_methods(self.methods))
        object.__setattr__(self, "shots", check_shots(self.shots))
        object.__setattr__(self, "seeds", check_seeds(self.seeds))

    def embedding(self) -> dict[str, Any]:
        """Return the keyword arguments of `embed_split`."""
        return {
            "cache_dir": self.cache_dir,
            "batch_size": self.batch_size,
            "device": self.device,
            "precision": self.precision,
            "quiet": self.quiet,
        }
