"""Models trained by this project, as image encoders."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.model_folder import find_model_folder
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import ImageSource
from ke2nt.errors import ModelError
from ke2nt.models.load import load_model
from ke2nt.runtime.digest import digest_json
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.vlm.image_encoder import ImageEncoder, Tower

__all__ = ["TrainedImages"]


class TrainedImages(ImageEncoder):
    """The image side of a saved model with a text head: x → f_e.

    Args:
        source: A run directory, a saved model's folder or a hub id.
        digests: Remembers digests of large files.
        text_encoder: The text encoder that the model was trained with, where the name that the
            run knows it by does not lead there any more.

    Raises:
        CheckpointError: There is no such model.
        ModelError: It has a linear head, and so no space that it shares with text.
    """

    def __init__(self, source: str, digests: FileDigests, text_encoder: str | None = None) -> None:
        self._source, self._digests = source, digests
        self._folder = find_model_folder(source)
        config = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        if config["architecture"].get("head") != "text":
            raise ModelError(
                "the model has a linear head: it can only name the classes it was trained on",
                expected="a model with a text head",
                where=source,
                hint="Type: ke2nt evaluate",
            )
        self._config = config
        self._preprocessing = Preprocessing.from_dict(config["preprocessing"])
        self._words = TextBank.load(self._folder).provenance
        if geometry := self._words.get("geometry"):
            raise ModelError(
                f"the model knows its own classes alone: their text embeddings were {geometry}",
                expected="a model trained with text.geometry=paper",
                where=source,
                hint="Type: ke2nt evaluate",
            )
        self.id = f"run:{digest_json(config['digests'])[:16]}"
        self.trained_classes = tuple(config["classes"])
        self.card: dict[str, Any] = config.get("card") or {}
        self.text_encoder = text_encoder or self._text_name()

    def weights(self) -> str:
        """Digest of the weights and the architecture."""
        file = self._digests.of(self._folder / "model.safetensors")
        return digest_json({"file": file, "architecture": self._config["architecture"]})

    def text_weights(self) -> str | None:
        """Digest of the text encoder that the model was trained with."""
        known = self._words.get("weights")
        return known if isinstance(known, str) and known else None

    def preprocessing(self) -> dict[str, Any]:
        """The model's own, as it was saved."""
        return self._preprocessing.to_dict()

    def read(self, source: ImageSource) -> np.ndarray:
        """Decode and resize as `ke2nt evaluate` does."""
        return np.ascontiguousarray(self._preprocessing.resize(source).transpose(2, 0, 1))

    def load(self, device: torch.device) -> Tower:
        """The whole model.

        Raises:
            CheckpointError: A file is absent, altered, or does not fit.
        """
        return _TrainedTower(load_model(self._source).to(device), device)

    def _text_name(self) -> str:
        """As the run's configuration names it, else as the text bank does."""
        path = self._folder.parent / "config.yaml"
        try:
            text = yaml.safe_load(path.read_text(encoding="utf-8"))["text"]
            if text.get("bank") is None:
                return str(text["encoder"])
        except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
            pass
        if (name := self._words.get("encoder")) is None:
            raise ModelError(
                "the model does not say which text encoder it was trained with",
                where=self._source,
                hint="Name it with --text-encoder.",
            )
        return str(name)


class _TrainedTower(Tower):
    def __init__(self, model: Any, device: torch.device) -> None:
        scale = model.logit_scale
        self.logit_scale = float(scale.detach() if isinstance(scale, Tensor) else scale)
        self.device = device
        self._model = model

    def __call__(self, pixels: Tensor) -> Tensor:
        return self._model(self._model.preprocessing.normalize(pixels)).embeddings
