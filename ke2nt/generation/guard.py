"""Detection of mode collapse and divergence, epoch by epoch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.config.gan import GuardConfig
from ke2nt.generation.networks.generator import FaceGenerator

__all__ = ["Guard", "compute_diversity", "compute_diversity_ratio"]

_IDENTITIES = 32


def compute_diversity(images: Tensor) -> float:
    """Mean absolute difference of two different images of a set, (N, C, S, S), N ≥ 2."""
    # (N, N) mean absolute differences; the diagonal is 0
    flat = images.flatten(1)
    count = len(flat)
    total = torch.cdist(flat, flat, p=1).sum() / flat.shape[1]
    return float(total / (count * (count - 1)))


@torch.no_grad()
def compute_diversity_ratio(
    generator: FaceGenerator, real: Tensor, random: torch.Generator
) -> float:
    """Diversity of generated faces of one expression, relative to that of real faces.

    Args:
        generator: In evaluation mode.
        real: (N, C, S, S) faces in [−1, 1], N ≥ 2.
        random: CPU generator of the new identities.

    Returns:
        The mean over expressions: 0 if all faces are the same, about 1 if they are as diverse as
        real ones.
    """
    # the same identities for each expression
    codes = generator.sample_codes(_IDENTITIES, random)
    diversities = []
    for expression in range(len(generator.classes)):
        expressions = torch.full((_IDENTITIES,), expression, device=codes.device)
        diversities.append(compute_diversity(generator.decode(codes, expressions)))

    # identical real faces would divide by 0
    mean = sum(diversities) / len(diversities)
    return mean / max(compute_diversity(real), 1e-9)


class Guard(nn.Module):
    """Counts consecutive bad epochs and rollbacks; its state is part of the checkpoints.

    Args:
        config: What a bad epoch is, and how many are tolerated.
    """

    bad_epochs: Tensor
    rollbacks: Tensor

    def __init__(self, config: GuardConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("bad_epochs", torch.zeros((), dtype=torch.int64))
        self.register_buffer("rollbacks", torch.zeros((), dtype=torch.int64))

    @property
    def lr_factor(self) -> float:
        """Factor of the learning rates: every rollback halves them."""
        return 0.5 ** int(self.rollbacks)

    def check_epoch(self, epoch: int, diversity: float, gap: float) -> str | None:
        """Check an epoch; to be called once for each.

        Args:
            epoch: Counted from 1.
            diversity: As returned by `compute_diversity_ratio`.
            gap: Mean critic score of real faces minus that of synthetic ones.

        Returns:
            The problem as a sentence that starts with "mode collapse" or "divergence"; None before
            `patience` consecutive bad epochs.
        """
        problem = self._find_problem(diversity, gap)
        if problem is None or epoch <= self.config.grace:
            self.bad_epochs.zero_()
            return None

        # a single bad epoch may be noise
        self.bad_epochs += 1
        return problem if int(self.bad_epochs) >= self.config.patience else None

    def _find_problem(self, diversity: float, gap: float) -> str | None:
        # written so that a gap that is NaN counts as a divergence
        if not abs(gap) <= self.config.max_gap:
            return (
                f"divergence: the critic scores differ by {gap:.3g} between real and synthetic "
                f"faces, more than {self.config.max_gap:g}"
            )
        if diversity < self.config.min_diversity:
            return (
                f"mode collapse: the diversity of synthetic faces of one expression is "
                f"{diversity:.3f} of that of real faces, less than {self.config.min_diversity:g}"
            )
        return None
