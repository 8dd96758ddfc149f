"""CoOp: context vectors learned on image embeddings, one pass of the text tower a step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ke2nt.errors import DataError, TrainingError
from ke2nt.prompt_learning.context import Context
from ke2nt.prompt_learning.options import ContextOptions
from ke2nt.runtime.progress import track
from ke2nt.runtime.seeding import torch_generator
from ke2nt.vlm.prompt_tower import PromptTower

__all__ = [
    "EpochRecord",
    "LabeledEmbeddings",
    "LearnedContext",
    "assess",
    "context_loss",
    "learn_context",
]

_MOMENTUM, _WEIGHT_DECAY = 0.9, 5e-4
_WARM_UP_LR = 1e-5  # of the first epoch, as in CoOp


@dataclass(frozen=True, slots=True, eq=False)
class LabeledEmbeddings:
    """N image embeddings (N, D) of unit norm, and their class indices (N,)."""

    embeddings: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch: its mean training loss, and the validation metrics (0 to 1) if there are any."""

    epoch: int
    loss: float
    val_loss: float | None
    val_accuracy: float | None
    val_uar: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class LearnedContext:
    """A learned context.

    Attributes:
        vectors: (1, M, W), or (K, M, W) if each class has its own, on the CPU.
        embeddings: (K, D) class embeddings of unit norm, on the CPU.
        epoch: The epoch that they are from, counted from 1.
        history: A record of every epoch.
    """

    vectors: Tensor
    embeddings: Tensor
    epoch: int
    history: tuple[EpochRecord, ...]


def learn_context(
    tower: PromptTower,
    words: Sequence[str],
    train: LabeledEmbeddings,
    val: LabeledEmbeddings | None = None,
    *,
    logit_scale: float,
    written: Tensor | None = None,
    options: ContextOptions | None = None,
    quiet: bool = True,
) -> LearnedContext:
    """Learn the context of the prompts of K classes.

    Args:
        tower: The frozen text tower that shares the images' space.
        words: K class words, in the order of the labels.
        train: What is learned from.
        val: What the epoch is chosen by: the highest UAR, then the lowest loss. None for the last
            epoch.
        logit_scale: Factor on cosine similarities.
        written: (K, D) unit class embeddings of written prompts; needed if `options.regularize`
            is above 0.
        options: The defaults of `ContextOptions` unless given.
        quiet: No progress on stderr.

    Raises:
        ConfigError, PromptError: As for `Context`.
        DataError: There are no images, or labels do not fit the words.
        TrainingError: The loss is not finite.
    """
    options = options or ContextOptions()
    for images in (train, val):
        _check_images(images, len(words))
    context = Context(tower, words, options)
    steps = _Steps(context, train, logit_scale, written, options)

    best: LearnedContext | None = None
    best_key = (-math.inf, -math.inf)
    history: list[EpochRecord] = []
    for epoch in track(range(1, options.epochs + 1), "learning prompts", quiet=quiet):
        loss = steps.run_epoch(epoch)
        embeddings = _embed(context)
        history.append(assess(epoch, loss, embeddings, val, logit_scale))

        # without validation images the last epoch is taken
        key = _sort_key(history[-1]) if val is not None else (float(epoch), 0.0)
        if key > best_key:
            vectors = context.vectors.detach().float().cpu().clone()
            best, best_key = LearnedContext(vectors, embeddings, epoch, ()), key

    assert best is not None  # there is at least one epoch
    return LearnedContext(best.vectors, best.embeddings, best.epoch, tuple(history))


def context_loss(
    embeddings: Tensor,
    images: LabeledEmbeddings,
    logit_scale: float,
    written: Tensor | None = None,
    regularize: float = 0.0,
) -> Tensor:
    """Cross-entropy of the images under learned classes, and λ times the distance to written ones.

    The second term is KgCoOp's (equation 4): the mean over classes of |w_learned − w_written|².

    Args:
        embeddings: (K, D) learned class embeddings of unit norm.
        images: B images.
        logit_scale: Factor on cosine similarities.
        written: (K, D) written class embeddings of unit norm.
        regularize: λ.
    """
    logits = logit_scale * images.embeddings @ embeddings.T
    loss = functional.cross_entropy(logits, images.labels)
    if written is not None and regularize > 0:
        loss = loss + regularize * (embeddings - written).square().sum(-1).mean()
    return loss


class _Steps:
    """The optimizer and the order of the images."""

    def __init__(
        self,
        context: Context,
        train: LabeledEmbeddings,
        logit_scale: float,
        written: Tensor | None,
        options: ContextOptions,
    ) -> None:
        device = context.vectors.device
        self._context, self._options, self._scale = context, options, logit_scale
        self._train = LabeledEmbeddings(train.embeddings.to(device), train.labels.to(device))
        self._written = None if written is None else written.to(device)
        if options.regularize > 0 and written is None:
            raise DataError("regularize needs the embeddings of written prompts", found=None)
        self._optimizer = torch.optim.SGD(
            context.parameters(), lr=options.lr, momentum=_MOMENTUM, weight_decay=_WEIGHT_DECAY
        )

    def run_epoch(self, epoch: int) -> float:
        """Go once over the images in a new order; return the mean loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._learning_rate(epoch)
        generator = torch_generator(self._options.seed, "prompt learning", epoch)
        order = torch.randperm(len(self._train), generator=generator)

        total = 0.0
        for rows in order.split(self._options.batch_size):
            total += self._step(rows.to(self._context.vectors.device)) * len(rows)
        return total / len(self._train)

    def _step(self, rows: Tensor) -> float:
        batch = LabeledEmbeddings(self._train.embeddings[rows], self._train.labels[rows])
        loss = context_loss(
            self._context(), batch, self._scale, self._written, self._options.regularize
        )
        if not bool(loss.isfinite()):
            raise TrainingError(
                "the loss of the prompts is not finite",
                found=float(loss.detach()),
                hint="Choose a lower --lr.",
            )
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return float(loss.detach())

    def _learning_rate(self, epoch: int) -> float:
        # a short run has no warm-up: it would be all of it
        if epoch == 1 and self._options.epochs > 1:
            return min(_WARM_UP_LR, self._options.lr)
        done = (epoch - 1) / self._options.epochs
        return self._options.lr * 0.5 * (1 + math.cos(math.pi * done))


def _embed(context: Context) -> Tensor:
    with torch.no_grad():
        return context().float().cpu()


def assess(
    epoch: int,
    loss: float,
    embeddings: Tensor,
    val: LabeledEmbeddings | None,
    logit_scale: float,
) -> EpochRecord:
    """Return the record of an epoch, with the validation metrics of its class embeddings.

    Args:
        epoch: Its number.
        loss: Its mean training loss.
        embeddings: (K, D) of unit norm, on the CPU.
        val: Validation images, or None.
        logit_scale: Factor on cosine similarities.
    """
    if val is None:
        return EpochRecord(epoch, loss, None, None, None)
    logits = logit_scale * val.embeddings @ embeddings.T
    correct = (logits.argmax(-1) == val.labels).double()

    # classes without validation images have no recall
    recalls = [correct[val.labels == k].mean() for k in val.labels.unique()]
    return EpochRecord(
        epoch=epoch,
        loss=loss,
        val_loss=float(functional.cross_entropy(logits, val.labels)),
        val_accuracy=float(correct.mean()),
        val_uar=float(torch.stack(recalls).mean()),
    )


def _sort_key(record: EpochRecord) -> tuple[float, float]:
    assert record.val_uar is not None
    assert record.val_loss is not None
    return record.val_uar, -record.val_loss


def _check_images(images: LabeledEmbeddings | None, num_classes: int) -> None:
    if images is None:
        return
    if len(images) == 0:
        raise DataError("there are no images to learn prompts from")
    if int(images.labels.min()) < 0 or int(images.labels.max()) >= num_classes:
        raise DataError(
            "labels do not fit the class words",
            expected=f"0 to {num_classes - 1}",
            found=f"{int(images.labels.min())} to {int(images.labels.max())}",
        )
