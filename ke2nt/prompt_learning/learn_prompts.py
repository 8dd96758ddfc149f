"""From embedded splits and a written prompt set to a learned one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ke2nt.banks.learned_prompts import find_prompt_tower
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import DataError, PromptError
from ke2nt.evaluation.embed_split import ImageEmbeddings, check_text_weights
from ke2nt.evaluation.zero_shot import ZeroShotOptions, choose_classes
from ke2nt.labels import LabelPolicy, map_labels
from ke2nt.prompt_learning.learn import (
    EpochRecord,
    LabeledEmbeddings,
    LearnedContext,
    assess,
    learn_context,
)
from ke2nt.prompt_learning.learned_set import build_learned_set, class_words
from ke2nt.prompt_learning.options import ContextOptions
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.base import TextEncoder
from ke2nt.vlm.catalog import as_text_encoder

__all__ = ["LearnedPrompts", "learn_prompts"]


@dataclass(frozen=True, eq=False)
class LearnedPrompts:
    """A learned prompt set, and how it compares with the written one on the validation images.

    Attributes:
        prompts: The learned set.
        context: Its vectors, and the record of every epoch.
        written: Validation metrics of the written set.
        learned: Validation metrics of the learned set.
        labels: How the classes of the data were mapped.
    """

    prompts: PromptSet
    context: LearnedContext
    written: EpochRecord
    learned: EpochRecord
    labels: str

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "name": self.prompts.name,
            "classes": list(self.prompts.classes),
            "labels": self.labels,
            "epoch": self.context.epoch,
            "written": _metrics(self.written),
            "learned": _metrics(self.learned),
            "history": [record.to_dict() for record in self.context.history],
            "nearest": self.prompts.learned and self.prompts.to_dict()["learned"]["nearest"],
        }


def learn_prompts(
    train: ImageEmbeddings,
    val: ImageEmbeddings,
    written: PromptSet | str | Path,
    options: ContextOptions | None = None,
    *,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    name: str = "learned",
    settings: Mapping[str, Any] | None = None,
    text_encoder: TextEncoder | str | None = None,
    device: torch.device | str | None = None,
    cache_dir: str | Path | None = None,
    quiet: bool = True,
) -> LearnedPrompts:
    """Learn the context of the prompts of a written set.

    Args:
        train: Images to learn from.
        val: Images that the epoch is chosen by.
        written: The set whose class words are learned with, one for each class, and whose
            embeddings `options.regularize` keeps the learned ones near to.
        options: The defaults of `ContextOptions` unless given.
        policy: Classes that only one side has, as in `map_labels`.
        merge: Class of the data → class of the set to map it to.
        name: Name of the learned set.
        settings: Stored in the learned set beside the options.
        text_encoder: The encoder of the images' space; the one that they name unless given.
        device: Where the text tower computes; the CPU unless given.
        cache_dir: Cache folder of the written set's bank.
        quiet: No progress on stderr.

    Raises:
        LabelError: The label sets do not fit under the policy.
        PromptError: A class has no images to learn vectors of its own from, or a prompt is longer
            than the encoder reads.
        ConfigError: The length of the context does not fit the tower, or the words to start from.
        DataError: No image is left.
        ModelError: The text encoder is not the one that shares the images' space.
        TextEncoderError: The encoder cannot read learned prompts.
    """
    options = options or ContextOptions()
    prompt_set = written if isinstance(written, PromptSet) else PromptSet.load(written)

    # labels are checked before the encoder is loaded
    chosen = choose_classes(prompt_set, train.classes, ZeroShotOptions(policy=policy, merge=merge))
    mapping = map_labels(train.classes, chosen, policy=policy, merge=merge)
    if policy == "drop":
        chosen = tuple(each for each in chosen if each not in mapping.unused)
    targets = [-1 if i is None else chosen.index(mapping.target[i]) for i in mapping.index]
    train_faces, val_faces = (_label(images, targets) for images in (train, val))
    if options.class_specific:
        _check_all_seen(chosen, train_faces)

    # the text side of the images' space
    requested = train.text_encoder if text_encoder is None else text_encoder
    encoder = as_text_encoder(requested, cache_dir=cache_dir)
    fingerprint = encoder.fingerprint()
    check_text_weights(train, encoder.id, fingerprint.weights)
    _move(encoder, device)
    tower = find_prompt_tower(encoder)

    prompt_set = prompt_set.with_classes(chosen)
    bank = TextBank.build(prompt_set, encoder, cache_dir=cache_dir)
    context = learn_context(
        tower,
        list(class_words(prompt_set).values()),
        train_faces,
        val_faces,
        logit_scale=train.logit_scale,
        written=bank.embeddings,
        options=options,
        quiet=quiet,
    )

    learned_set = build_learned_set(
        context,
        prompt_set,
        encoder.id,
        fingerprint,
        tower,
        position=options.position,
        class_specific=options.class_specific,
        name=name,
        training={
            **asdict(options),
            "context": context.vectors.shape[1],
            "epoch": context.epoch,
            "images": len(train_faces),
            "written": prompt_set.name,
            **(settings or {}),
        },
    )
    written_record = assess(0, 0.0, bank.embeddings, val_faces, train.logit_scale)
    return LearnedPrompts(
        prompts=learned_set,
        context=context,
        written=written_record,
        learned=context.history[context.epoch - 1],
        labels=mapping.describe(),
    )


def _label(images: ImageEmbeddings, targets: Sequence[int]) -> LabeledEmbeddings:
    """Images with their class in the prompt set; those of a class that is dropped are left out."""
    labels = np.asarray(targets)[images.labels]
    kept = labels >= 0
    if not kept.any():
        raise DataError("no image is left after classes were dropped", found=list(images.classes))
    embeddings = torch.from_numpy(np.array(images.embeddings[kept], dtype=np.float32))
    return LabeledEmbeddings(embeddings, torch.from_numpy(labels[kept]).long())


def _check_all_seen(classes: Sequence[str], train: LabeledEmbeddings) -> None:
    seen = set(train.labels.tolist())
    unseen = [name for k, name in enumerate(classes) if k not in seen]
    if unseen:
        raise PromptError(
            "vectors of its own cannot be learned for a class without images",
            expected="images of every class",
            found=f"none of {', '.join(unseen)}",
            hint="Learn one context for all classes, without --class-specific, or leave these out "
            "with --labels drop.",
        )


def _move(encoder: TextEncoder, device: torch.device | str | None) -> None:
    """Move the text tower to a device other than the CPU."""
    load: Any = getattr(encoder, "load", None)
    if device is not None and torch.device(device).type != "cpu" and load is not None:
        load(torch.device(device))


def _metrics(record: EpochRecord) -> dict[str, float | None]:
    return {
        "loss": record.val_loss,
        "accuracy": record.val_accuracy,
        "uar": record.val_uar,
    }
