"""The texts of a run that starts from a saved model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ke2nt.checkpoints.saved_model import SavedModel
from ke2nt.config.model import BANK_OF_START, TextConfig
from ke2nt.config.schema import TrainConfig
from ke2nt.errors import ConfigError, Ke2ntError, TextEncoderError
from ke2nt.models.backbone_names import is_tower_name
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.vlm.auto_encoder import AUTO_ENCODER
from ke2nt.vlm.catalog import get_text_encoder

__all__ = ["name_text_encoder", "resolve_text"]

_TEXT_SOURCES = ("encoder", "prompts", "bank", "geometry")


def resolve_text(config: TrainConfig, saved: SavedModel, classes: Sequence[str]) -> TrainConfig:
    """Fill the keys of the section `text` that are not set.

    The text bank is that of the saved model if it has all classes and the configuration asks for no
    other texts, otherwise a new one of the same text encoder, and of the same prompts if they ship
    with the package.

    Args:
        config: Configuration of the run.
        saved: The model to start from.
        classes: The labels, in index order.
    """
    bank, text = saved.bank, config.text
    if bank is None or config.model.head != "text":
        return config

    # scale of the logits that the image side was trained with
    values: dict[str, Any] = {
        key: saved.architecture.get(key) for key in ("logit_scale", "learn_logit_scale")
    }
    # a bias that was learned is learned further where there is one
    if config.loss.similarity_form == "sigmoid":
        values["learn_logit_bias"] = "learned_logit_bias" in saved.architecture
    written = _requested(text, saved)
    if written.isdisjoint(_TEXT_SOURCES) and set(classes) <= set(bank.classes):
        values["bank"] = BANK_OF_START
    else:
        facts = bank.provenance
        values |= {"encoder": facts.get("encoder"), "prompts": facts.get("prompt_set")}
        if values["prompts"] not in list_resources("prompts"):
            del values["prompts"]

    changes = {
        key: value for key, value in values.items() if value is not None and key not in written
    }
    return config.model_copy(update={"text": text.model_copy(update=changes)})


def name_text_encoder(
    config: TrainConfig, saved: SavedModel, name: str, tower: str | None
) -> TrainConfig:
    """Name the text encoder for other texts, if it came from a folder, which no saved model names.

    Args:
        config: Configuration of the run.
        saved: The model to start from.
        name: Its name, for the message.
        tower: The vision-language model that its image tower came from, if the run names it.

    Raises:
        ConfigError: The text encoder must be named.
    """
    bank, text = saved.bank, config.text
    if bank is None or config.model.head != "text" or text.bank is not None:
        return config
    written, encoder = _requested(text, saved), bank.provenance.get("encoder")
    if "encoder" in written or written.isdisjoint(_TEXT_SOURCES) or not is_tower_name(encoder):
        return config

    # a name with its tag or hub id is still one
    try:
        get_text_encoder(str(encoder))
    except TextEncoderError as error:
        if tower is not None:
            named = text.model_copy(update={"encoder": tower})
            return config.model_copy(update={"text": named})
        keys = " and ".join(f"text.{key}" for key in _TEXT_SOURCES if key in written)
        raise ConfigError(
            f"{keys} asks for other texts than those of {name}, whose text encoder must be named",
            expected=f"text.encoder={str(encoder).partition(':')[0]}:FOLDER",
            found=f"{encoder}, without its folder, which a saved model does not store",
            hint=f"Name it, or type text.bank={BANK_OF_START} to keep the texts.",
        ) from error
    return config


def _requested(text: TextConfig, saved: SavedModel) -> set[str]:
    """Keys of the section `text` that are set and ask for something else than a model has."""
    requested = set(text.model_fields_set)
    # auto leaves the choice to the model
    if text.encoder == AUTO_ENCODER:
        requested.discard("encoder")

    # the same prompts are in its bank already, unless another encoder embeds them
    if "prompts" in requested and "encoder" not in requested and saved.bank is not None:
        facts = saved.bank.provenance
        stored = facts.get("prompts") or {}
        if facts.get("prompt_set") == text.prompts and stored == _render(text.prompts, stored):
            requested.discard("prompts")
    return requested


def _render(prompts: str, classes: Iterable[str]) -> dict[str, list[str]]:
    """Prompts of some classes; none if the set lacks one or does not exist."""
    try:
        chosen = PromptSet.load(prompts)
        return {name: list(chosen.render(name)) for name in classes}
    except Ke2ntError:
        return {}
