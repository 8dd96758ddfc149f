"""Zero-shot recognition with a vision-language model: any class words, no training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSplit
from ke2nt.evaluation.embed_split import ImageEmbeddings, check_text, embed_split
from ke2nt.evaluation.generalized import GeneralizedMetrics, compute_generalized_metrics
from ke2nt.evaluation.options import ScoringOptions
from ke2nt.evaluation.predictions import Predictions
from ke2nt.evaluation.score import Evaluation, score_predictions
from ke2nt.labels import LabelPolicy, map_labels
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.base import ImageEncoder

__all__ = [
    "ZeroShot",
    "ZeroShotOptions",
    "choose_classes",
    "class_logits",
    "score_prompts",
    "score_text_bank",
    "zero_shot",
]

_CHUNK_ROWS = 65536  # images whose float64 copies are held at once


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """A zero-shot evaluation.

    Attributes:
        evaluation: The metrics, and the predictions that they describe.
        bank: The text embeddings that the images were compared with.
        images: The image embeddings; `score_text_bank` scores other words on them at once.
        generalized: Metrics over classes that a model of this project was trained on and over
            classes that it was not trained on; None unless there are images of both kinds.
    """

    evaluation: Evaluation
    bank: TextBank
    images: ImageEmbeddings
    generalized: GeneralizedMetrics | None

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        value = self.evaluation.to_dict()
        if self.generalized is not None:
            value["generalized"] = self.generalized.to_dict()
        return value


@dataclass(frozen=True)
class ZeroShotOptions(ScoringOptions):
    """How to embed and score a split.

    Attributes:
        batch_size: Images per forward pass.
        classes: Classes of the prompt set that are possible answers. By default under "strict",
            those of the data, after `merge`; otherwise all classes of the set.
        cache_dir: Cache folder; `KE2NT_CACHE` or the platform's unless given.
    """

    batch_size: int = 64
    classes: Sequence[str] | None = None
    cache_dir: str | Path | None = None


def zero_shot(
    encoder: str | ImageEncoder,
    prompts: PromptSet | str | Path,
    split: FaceSplit,
    options: ZeroShotOptions | None = None,
    **fields: Any,
) -> ZeroShot:
    """Embed a split once, and score it with the words of a prompt set.

    Args:
        encoder: As in `embed_split`.
        prompts: A prompt set, the name of a shipped one, or a YAML file.
        split: The images.
        options: How to embed and score; the defaults of `ZeroShotOptions` unless given.
        **fields: Fields of `ZeroShotOptions` to change, such as `policy="drop"`.

    Raises:
        PromptError: No such prompt set or class, or a prompt would be truncated.
        LabelError: The label sets do not fit under the policy; raised before anything is embedded.
        ModelError, CheckpointError, DataError, TextEncoderError, CacheError: As in `embed_split`.

    Example:
        >>> split = get_reader("ferplus", root, rule="majority").load("test")
        >>> zero_shot("open_clip:ViT-B-16/openai", "ensemble", split).evaluation.report.uar
    """
    options = replace(options or ZeroShotOptions(), **fields)

    prompt_set = prompts if isinstance(prompts, PromptSet) else PromptSet.load(prompts)

    # Unknown classes and label sets that do not fit are found before anything is embedded.
    classes = choose_classes(prompt_set, split.classes, options)
    images = embed_split(encoder, split, cache_dir=options.cache_dir, **options.computing())
    return score_prompts(images, prompt_set, classes, split, options)


def score_prompts(
    images: ImageEmbeddings,
    prompts: PromptSet,
    classes: Sequence[str],
    split: FaceSplit,
    options: ZeroShotOptions,
) -> ZeroShot:
    """Score the embeddings of a split with the words of a prompt set; no image is read.

    Args:
        images: From `embed_split`.
        prompts: The prompt set.
        classes: Possible answers, from `choose_classes`.
        split: The images.
        options: How to score.

    Raises:
        PromptError, TextEncoderError, CacheError: The text cannot be embedded.
    """
    bank = TextBank.build(
        prompts, encoder=images.text_encoder, classes=tuple(classes), cache_dir=options.cache_dir
    )
    settings = {"dataset": split.dataset, "split": split.split, "prompts": prompts.name}
    return score_text_bank(images, bank, **options.scoring(), settings=settings)


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
    """Score image embeddings with the words of a text bank; no model is run.

    Args:
        images: From `embed_split`.
        bank: Text embeddings of the encoder that shares the images' space.
        policy: As in `ZeroShotOptions`; so are merge, bootstrap and seed.
        settings: Stored with the result.

    Raises:
        ModelError: The text embeddings come from another encoder.
        LabelError: The label sets do not fit under the policy.
        DataError: No image is left.
    """
    # Cosines are only meaningful if images and text share a space.
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
            "activation": bank.provenance.get("activation"),
            "logit_scale": images.logit_scale,
            "flip_tta": False,
        },
    )

    # Only a model of this project says which classes it was trained on.
    generalized = None
    if images.trained_classes is not None:
        generalized = compute_generalized_metrics(
            evaluation.report, images.trained_classes, resamples=bootstrap, seed=seed
        )
    return ZeroShot(evaluation, bank, images, generalized)


def class_logits(images: ImageEmbeddings, bank: TextBank) -> np.ndarray:
    """Compute the logits s · cos(image, class), float64 (N, K), s the image encoder's logit scale.

    The bias that SigLIP adds to every logit is omitted: it does not change class probabilities.
    """
    # (D, K)
    text = bank.embeddings.cpu().to(torch.float64).numpy().T * images.logit_scale
    chunks = [
        np.asarray(images.embeddings[start : start + _CHUNK_ROWS], dtype=np.float64) @ text
        for start in range(0, len(images), _CHUNK_ROWS)
    ]
    return np.concatenate(chunks)


def choose_classes(
    prompt_set: PromptSet, data_classes: Sequence[str], options: ZeroShotOptions
) -> tuple[str, ...]:
    """Choose the possible answers, and check them against the classes of the data.

    Raises:
        PromptError: The prompt set has no such class.
        LabelError: The label sets do not fit under the policy.
    """
    for name in options.classes or ():
        prompt_set.render(name)
    merge = dict(options.merge or {})
    classes = tuple(prompt_set.classes if options.classes is None else options.classes)

    # Under "strict" both label sets must agree, so the data's classes are the answers.
    if options.classes is None and options.policy == "strict":
        requested = tuple(dict.fromkeys(merge.get(name, name) for name in data_classes))
        if all(name in prompt_set.classes for name in requested):
            classes = requested

    map_labels(data_classes, classes, policy=options.policy, merge=merge)
    return classes
