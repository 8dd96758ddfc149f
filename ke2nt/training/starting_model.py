"""`start`: the saved model that a training run starts from, and what it decides in the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.find_model import public_model_name
from ke2nt.checkpoints.model_folder import WEIGHTS, find_model_folder, read_folder
from ke2nt.checkpoints.saved_model import SavedModel
from ke2nt.config.attention import AttentionConfig
from ke2nt.config.model import BANK_OF_START, ModelConfig, TextConfig
from ke2nt.config.schema import TEXT_LOSSES, TrainConfig
from ke2nt.errors import ConfigError, Ke2ntError
from ke2nt.models.backbone_names import is_tower_name
from ke2nt.models.base import ExpressionModel
from ke2nt.models.custom_backbones import check_downloaded_backbone
from ke2nt.models.initialize import start_from
from ke2nt.models.stage_options import StageOptions
from ke2nt.models.tower_backbones import find_vision_language_model
from ke2nt.runtime.digest import digest_file
from ke2nt.training.starting_text import name_text_encoder, resolve_text

__all__ = ["StartingModel", "read_starting_model"]


@dataclass(frozen=True)
class StartingModel:
    """A saved model, read but not built.

    Attributes:
        name: As it was named.
        saved: Content of its folder.
    """

    name: str
    saved: SavedModel

    @property
    def weights(self) -> Path:
        """Its weights file."""
        assert self.saved.folder is not None
        return self.saved.folder / WEIGHTS

    def facts(self) -> dict[str, Any]:
        """Return what run and model card say of it: model, digest, and data it was trained on."""
        # the data of the models that it was started from itself count, too
        card = self.saved.card
        earlier, name = card.get("started_from") or {}, (card.get("data") or {}).get("name")
        data = [*(earlier.get("data") or ()), name]

        # dataset → split, so that an evaluation on that split can say so
        splits = dict(earlier.get("train_splits") or {})
        split = ((card.get("config") or {}).get("data") or {}).get("train_split")
        if name and split:
            splits[name] = split
        return {
            "model": public_model_name(self.name),
            "sha256": digest_file(self.weights),
            "data": sorted({name for name in data if name}),
            "train_splits": splits,
        }

    def resolve_model(self, config: TrainConfig) -> TrainConfig:
        """Fill the section `model` of a configuration: the image encoder is that of this model.

        Raises:
            ConfigError: The configuration sets a key of `model` to another value.
        """
        options, values = config.model, self._model_values(config.model)
        if options.weights is not None:
            raise ConfigError(
                "start and model.weights both name initial weights",
                expected="one of them",
                found=f"start={self.name} and model.weights={options.weights}",
            )

        # head and dropout may change; everything else decides what the weights mean
        tower = None
        for key in sorted(options.model_fields_set & values.keys()):
            wanted, found = _plain(values[key]), _plain(getattr(options, key))
            if wanted != found and key == "backbone" and self._is_its_tower(found):
                tower = found
            elif wanted != found:
                raise ConfigError(
                    f"model.{key} differs from that of the model to start from",
                    expected=f"{wanted}, that of {self.name}",
                    found=found,
                    hint=f"Type model.{key}={_typed(wanted)}, or start without this model.",
                )
        config = name_text_encoder(config, self.saved, self.name, tower)

        # an objective of attention heads that is set explicitly stays
        if options.attention is not None:
            values.pop("attention", None)
        changes: dict[str, Any] = {"model": options.model_copy(update=values)}
        if changes["model"].head == "linear":
            changes["loss"] = config.loss.model_copy(update=dict.fromkeys(TEXT_LOSSES, 0.0))
        return config.model_copy(update=changes)

    def resolve_text(self, config: TrainConfig, classes: Sequence[str]) -> TrainConfig:
        """Fill the keys of the section `text` that are not set, see `starting_text`."""
        return resolve_text(config, self.saved, classes)

    def bank(self, text: TextConfig, classes: tuple[str, ...]) -> TextBank | None:
        """Return the text bank of these classes, if the configuration takes it from this model.

        Raises:
            ConfigError: This model has no text bank.
            LabelError: It lacks a class.
        """
        if text.bank != BANK_OF_START:
            return None
        if self.saved.bank is None:
            raise ConfigError(
                "the model to start from has no text bank", found=f"start={self.name}"
            )
        return self.saved.bank.select(classes)

    def copy_into(self, model: ExpressionModel) -> None:
        """Copy the weights that mean the same in a model that this configuration built.

        Raises:
            CheckpointError: A tensor does not fit, or a downloaded model needs code that is not
                imported.
        """
        copied = start_from(model, self.saved, where=self.name)
        facts = self.facts()
        model.provenance["initial_weights"] = {
            "source": facts["model"],
            "sha256": facts["sha256"],
            "summary": copied,
        }
        if first := self.saved.card.get("first_weights"):
            model.card["first_weights"] = list(first)

    def _is_its_tower(self, backbone: str) -> bool:
        """Whether a name is that of the vision-language model that the image tower came from."""
        tower = self.saved.architecture.get("tower")
        if tower is None or not is_tower_name(backbone):
            return False
        try:
            return find_vision_language_model(backbone).weights() == tower["weights"]
        except Ke2ntError:
            return False

    def _model_values(self, options: ModelConfig) -> dict[str, Any]:
        """Key of the section `model` → value that this model has."""
        architecture = self.saved.architecture
        values: dict[str, Any] = {
            key: architecture[key]
            for key in ("backbone", "backbone_options", "stem", "image_size")
            if key in architecture
        }
        values["gray"] = self.saved.preprocessing.gray
        attention = architecture.get("attention")
        values["attention"] = (
            None
            if attention is None
            else AttentionConfig(**StageOptions.from_dict(attention).to_dict())
        )

        # these may differ, and then only the image encoder is taken over
        for key in ("head", "dropout"):
            if key not in options.model_fields_set and key in architecture:
                values[key] = architecture[key]
        if values.get("head", options.head) == architecture.get("head") == "text":
            values["reduction"] = architecture["reduction"]
            # none fits a tower with its own text alone, which another text may replace
            projection = architecture.get("projection", "linear")
            values["projection"] = "auto" if projection == "none" else projection
        return values


def read_starting_model(config: TrainConfig) -> StartingModel | None:
    """Read the model that a configuration starts from; None if it starts from nothing.

    Raises:
        CheckpointError: There is no such model, or a file of it is missing or altered.
    """
    if config.start is None:
        return None
    saved = read_folder(find_model_folder(config.start))

    # building the encoder may import its module, so a download is checked before
    check_downloaded_backbone(saved.architecture.get("backbone"), saved.folder)
    return StartingModel(config.start, saved)


def _plain(value: Any) -> Any:
    """A value of a configuration in a form that compares and prints: options of heads as keys."""
    return value.architecture() if isinstance(value, AttentionConfig) else value


def _typed(value: Any) -> str:
    """A value of a configuration as it is typed."""
    return value if isinstance(value, str) else json.dumps(value)
