"""How good a vision-language model is on faces, under any words and with no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSplit
from ke2nt.evaluation.embed_split import ImageEmbeddings, check_text, embed_split
from ke2nt.evaluation.generalized import GeneralizedMetrics, compute_generalized_metrics
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.score import Evaluation, score_predictions
from ke2nt.labels import LabelPolicy, map_labels
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.devices import Precision
from ke2nt.vlm.base import ImageEncoder

__all__ = ["ZeroShot", "class_logits", "score_text_bank", "zero_shot"]

_ROWS = 65536  # images whose float64 copies are held at once


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """A zero-shot evaluation.

    Attributes:
        evaluation: The metrics, and the predictions that they are of.
        bank: The text embeddings that images were compared with.
        images: The image embeddings; other words can be scored on them at once.
        generalized: Metrics over classes that a model of this project was trained on and over
            those that it was not; None where there are no classes of both kinds.
    """

    evaluation: Evaluation
    bank: TextBank
    images: ImageEmbeddings
    generalized: GeneralizedMetrics | None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        more = {} if self.generalized is None else {"generalized": self.generalized.to_dict()}
        return {**self.evaluation.to_dict(), **more}


def zero_shot(
    encoder: str | ImageEncoder,
    prompts: PromptSet | str | Path,
    split: FaceSplit,
    *,
    classes: Sequence[str] | None = None,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    cache_dir: str | Path | None = None,
    batch_size: int = 64,
    device: torch.device | str | None = None,
    precision: Precision = "fp32",
    bootstrap: int = 1000,
    seed: int = 0,
    quiet: bool = True,
) -> ZeroShot:
    """Embed a split once, and score it under the words of a prompt set.

    Args:
        encoder: As in `embed_split`.
        prompts: A prompt set, the name of a shipped one, or a YAML file.
        split: The images.
        classes: Classes of the set that are possible answers. By default under "strict" those of
            the data, after `merge`; else all of the set.
        policy: What to do with classes that only one side has; see `ke2nt.labels.map_labels`.
        merge: Class of the data → class of the prompt set to read it as.
        cache_dir: Cache folder; `KE2NT_CACHE` or the platform's unless given.
        batch_size: As in `embed_split`, as are device, precision and quiet.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Seed of the resamples.

    Raises:
        PromptError: No such prompt set or class, or a prompt would be truncated.
        LabelError: The label sets do not fit under the policy; said before anything is embedded.
        ModelError, CheckpointError, DataError, TextEncoderError, CacheError: As in `embed_split`.

    Example:
        >>> split = get_reader("ferplus", root, rule="majority").load("test")
        >>> zero_shot("open_clip:ViT-B-16/openai", "ensemble", split).evaluation.report.uar
    """
    words = prompts if isinstance(prompts, PromptSet) else PromptSet.load(prompts)
    for name in classes or ():
        words.render(name)  # which has to know it
    names = _answers(words, split.classes, classes, policy, dict(merge or {}))
    images = embed_split(
        encoder,
        split,
        cache_dir=cache_dir,
        batch_size=batch_size,
        device=device,
        precision=precision,
        quiet=quiet,
    )
    bank = TextBank.build(words, encoder=images.text_encoder, classes=names, cache_dir=cache_dir)
    settings = {"dataset": split.dataset, "split": split.split, "prompts": words.name}
    return score_text_bank(
        images,
        bank,
        policy=policy,
        merge=merge,
        bootstrap=bootstrap,
        seed=seed,
        settings=settings,
    )


def score_text_bank(
    images: ImageEmbeddings,
    bank: TextBank,
    *,
    policy: LabelPolicy = "strict",
    merge: Mapping[str, str] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
) -> ZeroShot:
    """Score image embeddings under the words of a text bank; no model is run.

    Args:
        images: From `embed_split`.
        bank: Text embeddings of the encoder that shares the images' space.
        policy: As in `zero_shot`, as are merge, bootstrap and seed.
        settings: Carried into the result.

    Raises:
        ModelError: The text embeddings are of another encoder.
        LabelError: The label sets do not fit under the policy.
        DataError: No image is left.
    """
    check_text(images, bank)
    logits = class_logits(images, bank)
    predictions = Predictions(
        probabilities=torch.from_numpy(logits).softmax(dim=-1).numpy(),
        labels=images.labels,
        names=images.names,
        classes=bank.classes,
        data_classes=images.classes,
        embeddings=None,
        failed=images.failed,
        logits=logits[None],
    )
    evaluation = score_predictions(
        predictions,
        policy=policy,
        merge=merge,
        bootstrap=bootstrap,
        seed=seed,
        settings={
            **(settings or {}),
            "encoder": images.encoder,
            "text_encoder": bank.provenance.get("encoder"),
            "logit_scale": images.logit_scale,
            "flip_tta": False,
        },
    )
    seen = images.trained_classes
    metrics = (
        None
        if seen is None
        else compute_generalized_metrics(evaluation.report, seen, resamples=bootstrap, seed=seed)
    )
    return ZeroShot(evaluation, bank, images, metrics)


def class_logits(images: ImageEmbeddings, bank: TextBank) -> np.ndarray:
    """Logits s · cos(image, class), float64 (N, K), s the image encoder's logit scale.

    The bias that SigLIP adds to every logit is left out: it changes no probability over classes.
    """
    text = bank.embeddings.cpu().to(torch.float64).numpy().T * images.logit_scale
    rows = [
        np.asarray(images.embeddings[start : start + _ROWS], dtype=np.float64) @ text
        for start in range(0, len(images), _ROWS)
    ]
    return np.concatenate(rows)


def _answers(
    words: PromptSet,
    data: Sequence[str],
    classes: Sequence[str] | None,
    policy: LabelPolicy,
    merge: dict[str, str],
) -> tuple[str, ...]:
    """Classes that are possible answers, checked against those of the data."""
    names = tuple(words.classes if classes is None else classes)
    if classes is None and policy == "strict":
        wanted = tuple(dict.fromkeys(merge.get(name, name) for name in data))
        if all(name in words.classes for name in wanted):
            names = wanted
    map_labels(data, names, policy=policy, merge=merge)
    return names
