"""Detects mode collapse and divergence of a synthesis, epoch by epoch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ke2nt.config.gan import GuardConfig
from ke2nt.generation.networks.generator import FaceGenerator

__all__ = ["Guard", "diversity", "diversity_ratio"]

_LOOKED_AT = 32


def diversity(images: Tensor) -> float:
    """Mean absolute difference of two different images of a set, (N, C, S, S), N ≥ 2."""
    flat = images.flatten(1)
    count = len(flat)
    total = torch.cdist(flat, flat, p=1).sum() / flat.shape[1]
    return float(total / (count * (count - 1)))


@torch.no_grad()
def diversity_ratio(generator: FaceGenerator, real: Tensor, draws: torch.Generator) -> float:
    """How much new faces of one expression differ, as a share of what real faces differ by.

    Args:
        generator: In evaluation mode.
        real: (N, C, S, S) faces in [−1, 1], N ≥ 2.
        draws: CPU generator of the new identities.

    Returns:
        The mean over expressions, 0 where every face is the same; about 1 for what is as diverse.
    """
    codes = generator.new_codes(_LOOKED_AT, draws)
    found = []
    for expression in range(len(generator.classes)):
        wanted = torch.full((_LOOKED_AT,), expression, device=codes.device)
        found.append(diversity(generator.decode(codes, wanted)))
    return sum(found) / len(found) / max(diversity(real), 1e-9)


class Guard(nn.Module):
    """Counts bad epochs in a row and rollbacks; its state is part of the checkpoints.

    Args:
        config: What is bad, and how long it may be.
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
        """Every rollback halves the learning rates."""
        return 0.5 ** int(self.rollbacks)

    def judge(self, epoch: int, diversity: float, gap: float) -> str | None:
        """What is wrong with an epoch, or None; to be called once an epoch.

        Args:
            epoch: Counted from 1.
            diversity: As of `diversity_ratio`.
            gap: Mean of the critic's scores of real faces less those of synthetic ones.

        Returns:
            A sentence; it starts with "mode collapse" or "divergence". None before `patience`
            bad epochs in a row.
        """
        config, problem = self.config, None
        if diversity < config.min_diversity:
            problem = (
                f"mode collapse: new faces of one expression differ by {diversity:.3f} of what "
                f"real faces differ by, less than {config.min_diversity:g}"
            )
        if not abs(gap) <= config.max_gap:
            problem = f"divergence: the critic tells faces apart by {gap:.3g}, more than "
            problem += f"{config.max_gap:g}"
        if problem is None or epoch <= config.grace:
            self.bad_epochs.zero_()
            return None
        self.bad_epochs += 1
        return problem if int(self.bad_epochs) >= config.patience else None
