"""Gradient descent on the parameters of an adapter; an epoch of cached embeddings takes no time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from ke2nt.fewshot.method import FewShotTask
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.adapters import Adapter
from ke2nt.runtime.seeding import derive_seed, torch_generator

__all__ = ["build_seeded", "train_adapter"]

_BATCH = 256
_EPOCHS = 20
_MIN_STEPS, _MAX_STEPS = 100, 1000
_WEIGHT_DECAY = 1e-2


def build_seeded(build: Callable[[], Adapter], task: FewShotTask, purpose: str) -> Adapter:
    """Build a module with initial weights that depend on the task's seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(task.seed, "few-shot", purpose, "weights"))
        return build()


def train_adapter(
    adapter: Adapter,
    task: FewShotTask,
    loss: KE2NTLoss,
    *,
    rate: float,
    purpose: str,
    rates: Mapping[str, float] | None = None,
) -> None:
    """Train an adapter on the task's training images: AdamW, cosine schedule, batches of 256.

    Args:
        adapter: The module; changed in place.
        task: What to learn.
        loss: The objective.
        rate: First learning rate.
        purpose: Name of the method, from which the order of the images is derived.
        rates: First learning rate of parts with another one, by the name of the submodule.
    """
    groups = [
        {"params": [value], "lr": (rates or {}).get(name.partition(".")[0], rate)}
        for name, value in adapter.named_parameters()
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)
    batches = list(_draw_batches(len(task.train.labels), task.seed, purpose))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, len(batches))

    adapter.train()
    for rows in batches:
        unit, labels = task.train.embeddings[rows], task.train.labels[rows]
        output = adapter(unit, task.bank.embeddings, task.logit_scale)
        optimizer.zero_grad(set_to_none=True)
        loss(output, labels, task.bank).total.backward()
        optimizer.step()
        schedule.step()
    adapter.eval()


def _draw_batches(count: int, seed: int, purpose: str) -> Iterator[Tensor]:
    """Rows of each step: 20 epochs, but at least 100 steps and at most 1,000."""
    per_epoch = -(-count // _BATCH)
    left = min(max(_EPOCHS * per_epoch, _MIN_STEPS), _MAX_STEPS)
    generator = torch_generator(seed, "few-shot", purpose, "order")
    while left > 0:
        chunks = torch.randperm(count, generator=generator).split(_BATCH)
        yield from chunks[:left]
        left -= len(chunks)
