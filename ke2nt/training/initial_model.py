"""The model that a run starts with, and its text bank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ke2nt.banks.geometry import arrange
from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.find_weights import NAMED_WEIGHTS
from ke2nt.config.schema import TextConfig, TrainConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.losses.pairwise_sigmoid import find_bias
from ke2nt.models.base import ExpressionModel
from ke2nt.models.build import build_model
from ke2nt.models.face_networks import FACE_NETWORKS
from ke2nt.models.tuning import tune_model
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.training.image_tower import resolve_text_encoder
from ke2nt.training.starting_model import read_starting_model

__all__ = ["build_arranged_bank", "build_initial_model"]


def build_initial_model(
    config: TrainConfig,
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    image_side: Mapping[str, torch.Tensor] | None = None,
) -> ExpressionModel:
    """Build the model that a run starts with; `model.tune` decides which parameters train.

    Args:
        config: Configuration of the run.
        classes: The labels, in index order.
        preprocessing: From pixels to the input, unless the initial weights come with their own.
        image_side: Weights of the encoder and its attention from a first stage.

    Raises:
        Ke2ntError: The configuration names a model or text bank that is not available.
    """
    model = _build_model(config, classes, preprocessing)

    # whichever statistics the weights come with, the configuration decides on color
    model.preprocessing = replace(model.preprocessing, gray=config.model.gray)
    if image_side is not None and config.pretrain is not None:
        model.load_state_dict({**model.state_dict(), **image_side})
        model.provenance["initial_weights"] = {"pretrain": list(config.pretrain.attributes)}

    # last, as low-rank changes start from the initial weights
    tune_model(model, config.model.tune, config.model.lora)
    return model


def _build_model(
    config: TrainConfig, classes: tuple[str, ...], preprocessing: Preprocessing
) -> ExpressionModel:
    config = resolve_text_encoder(config)
    options, start = config.model, read_starting_model(config)
    architecture: dict[str, Any] = {
        "head": options.head,
        "backbone": options.backbone,
        "image_size": options.image_size,
        "stem": options.stem,
        "backbone_options": options.backbone_options,
        "dropout": options.dropout,
    }
    if start is not None:
        for key in ("drop_path", "tower"):
            architecture[key] = start.saved.architecture.get(key)
    if options.attention is not None:
        architecture["attention"] = options.attention.architecture()

    # a text head takes its classes from the bank
    labels: dict[str, Any] = {"classes": classes}
    if options.head == "text":
        bank = None if start is None else start.bank(config.text, classes)
        labels = {"bank": build_arranged_bank(config.text, classes) if bank is None else bank}
        architecture |= {
            "projection": options.projection,
            "reduction": options.reduction,
            "logit_scale": config.text.logit_scale,
            "learn_logit_scale": config.text.learn_logit_scale,
        }
        if config.text.learn_logit_bias:
            first = find_bias(config.loss.similarity_bias, labels["bank"])
            architecture["learned_logit_bias"] = first

    # named weights and face networks come with their own mean and std
    brings_statistics = options.weights in NAMED_WEIGHTS or options.backbone in FACE_NETWORKS
    given_preprocessing = None if brings_statistics and start is None else preprocessing
    model = build_model(
        architecture,
        **labels,
        weights=options.weights,
        min_match=options.min_match,
        preprocessing=given_preprocessing,
    )
    if start is not None:
        start.copy_into(model)
    return model


def build_arranged_bank(text: TextConfig, classes: tuple[str, ...]) -> TextBank:
    """Load or build the text bank of some classes, in the configured geometry.

    Classes that the prompt set lacks are words for its templates.
    """
    if text.bank is not None:
        bank = TextBank.load(Path(text.bank).expanduser()).select(classes)
    else:
        prompts = PromptSet.load(text.prompts).with_words(classes)
        bank = TextBank.build(
            prompts, encoder=text.encoder, classes=classes, cache_dir=text.cache_dir
        )
    return arrange(bank, text.geometry)
