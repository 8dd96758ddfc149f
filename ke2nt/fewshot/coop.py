"""CoOp (https://arxiv.org/abs/2109.01134): context vectors of prompts, learned on few images."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ke2nt.banks.learned_prompts import find_prompt_tower
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError
from ke2nt.fewshot.features import Features
from ke2nt.fewshot.method import FewShotTask, Fitted
from ke2nt.fewshot.names import ALL, Shots
from ke2nt.fewshot.selection import score_validation
from ke2nt.prompt_learning.learn import LabeledEmbeddings, learn_context
from ke2nt.prompt_learning.learned_set import build_learned_set, class_words
from ke2nt.prompt_learning.options import ContextOptions
from ke2nt.vlm.base import TextEncoder
from ke2nt.vlm.catalog import as_text_encoder

__all__ = ["choose_epochs", "fit_coop"]

_INIT = "a photo of a"  # the published start of 4 vectors
_BATCH = 32
_MAX_STEPS = 800  # those of 16 shots of 8 classes, as published


def fit_coop(task: FewShotTask) -> Fitted:
    """Learn the context of the class words; the epoch is chosen on validation images.

    Raises:
        ModelError: The task does not say which words the bank was made of.
        TextEncoderError: The text encoder cannot read learned prompts.
    """
    if task.prompts is None or task.text_encoder is None:
        raise ModelError("coop needs the prompt set and the text encoder of the bank")
    encoder = _load_encoder(task.text_encoder, task.cache_dir)
    tower = find_prompt_tower(encoder)
    written = task.prompts.with_classes(task.bank.classes)

    options = ContextOptions(
        init=_INIT,
        epochs=choose_epochs(task.shots, len(task.train.labels)),
        batch_size=_BATCH,
        seed=task.seed,
    )
    learned = learn_context(
        tower,
        list(class_words(written).values()),
        _to_labeled(task.train),
        _to_labeled(task.validation),
        logit_scale=task.logit_scale,
        options=options,
    )

    # a bank like that of any prompts, with a neutral anchor in the learned context
    prompts = build_learned_set(
        learned,
        written,
        encoder.id,
        encoder.fingerprint(),
        tower,
        position=options.position,
        class_specific=options.class_specific,
    )
    bank = TextBank.build(prompts, encoder, task.bank.classes, task.cache_dir)
    logits = task.logit_scale * task.validation.embeddings @ bank.embeddings.T
    score = score_validation(logits, task.validation.labels)
    return Fitted(None, bank, {"epoch": learned.epoch, "validation_uar": score.uar})


def choose_epochs(shots: Shots, count: int) -> int:
    """Return the published epochs for a number of shots, but at most 800 steps of 32 images.

    Args:
        shots: Images of each class, or "all".
        count: Training images.
    """
    if shots == ALL:
        published = 200
    else:
        published = {1: 50, 2: 100, 3: 100, 4: 100}.get(shots, 200)
    steps = -(-count // _BATCH)
    return max(1, min(published, _MAX_STEPS // steps))


@lru_cache(maxsize=1)
def _load_encoder(name: str, cache_dir: str | Path | None) -> TextEncoder:
    """The text encoder, which keeps its tower for the next fit."""
    return as_text_encoder(name, cache_dir=cache_dir)


def _to_labeled(features: Features) -> LabeledEmbeddings:
    return LabeledEmbeddings(features.embeddings, features.labels)
