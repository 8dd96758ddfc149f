"""Models trained by this project, as image encoders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.folder_config import check_card
from ke2nt.checkpoints.model_folder import find_model_folder
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import ImageSource
from ke2nt.errors import ModelError
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.load import load_model
from ke2nt.runtime.digest import digest_json
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.vlm.base import ImageEncoder

__all__ = ["TrainedEncoder"]


class TrainedEncoder(ImageEncoder):
    """The image side of a saved model with a text head: x → f_e.

    Args:
        source: A run directory, a saved model's folder or a hub id.
        digests: Remembers digests of large files.
        text_encoder: The text encoder that the model was trained with, if the run's name for it
            is no longer valid.

    Attributes:
        source: Its name.
        card: Facts of the model card.

    Raises:
        CheckpointError: There is no such model.
        ModelError: It has a linear head, and so no embedding space that it shares with text.
    """

    def __init__(self, source: str, digests: FileDigests, text_encoder: str | None = None) -> None:
        self.source, self._digests = source, digests
        self._folder = find_model_folder(source)
        config = json.loads((self._folder / "config.json").read_text(encoding="utf-8"))
        if config["architecture"].get("head") != "text":
            raise ModelError(
                "the model has a linear head: it can only name the classes it was trained on",
                expected="a model with a text head",
                where=source,
                hint="Type: ke2nt evaluate",
            )
        self._architecture = config["architecture"]
        self._preprocessing = Preprocessing.from_dict(config["preprocessing"])

        # an arranged text space holds only the words of the training
        self._bank_provenance = TextBank.load(self._folder).provenance
        geometry = self._bank_provenance.get("geometry")
        if geometry:
            raise ModelError(
                "the model can only name the classes it was trained on: their text embeddings "
                f"were {geometry}",
                expected="a model trained with text.geometry=paper",
                where=source,
                hint="Type: ke2nt evaluate",
            )

        self.id = f"run:{digest_json(config['digests'])[:16]}"
        self.trained_classes = tuple(config["classes"])
        self.card: dict[str, Any] = check_card(config.get("card"), where=self._folder)
        self.text_encoder = text_encoder or self._text_encoder_name()
        self._model: Any = None

    def weights(self) -> str:
        """Return the digest of the weights and the architecture."""
        file = self._digests.of(self._folder / "model.safetensors")
        return digest_json({"file": file, "architecture": self._architecture})

    def text_weights(self) -> str | None:
        """Return the digest of the text encoder that the model was trained with."""
        digest = self._bank_provenance.get("weights")
        return digest if isinstance(digest, str) and digest else None

    def preprocessing_facts(self) -> dict[str, Any]:
        """Return the preprocessing that was saved with the model."""
        return self._preprocessing.to_dict()

    def preprocess(self, source: ImageSource) -> np.ndarray:
        """Decode and resize as `ke2nt evaluate` does."""
        return np.ascontiguousarray(self._preprocessing.resize(source).transpose(2, 0, 1))

    def load(self, device: torch.device) -> None:
        """Load the whole model.

        Raises:
            CheckpointError: A file is absent, altered, or does not fit.
        """
        if self._model is None:
            self._model = load_model(self.source)
        self._model = self._model.to(device)

    def load_recognizer(self) -> KE2NT:
        """Load the model anew: the same image side, with its text head.

        Raises:
            CheckpointError: A file is absent, altered, or does not fit.
        """
        model = load_model(self.source)
        assert isinstance(model, KE2NT)  # it has a text head
        return model

    @property
    def has_adapter(self) -> bool:
        """Whether the model recognizes through an adapter, which changes its embeddings."""
        return self._architecture.get("adapter") is not None

    def encode_image(self, pixels: Tensor) -> Tensor:
        """Embed uint8 pixels (B, 3, H, W): f_e (B, D)."""
        return self._model(self._model.preprocessing.normalize(pixels)).embeddings

    @property
    def logit_scale(self) -> float:
        """The model's scale of cosine logits; `load` must have been called."""
        scale = self._model.logit_scale
        return float(scale.detach() if isinstance(scale, Tensor) else scale)

    def _text_encoder_name(self) -> str:
        """As the run's configuration names it, else as the text bank does."""
        name = _configured_text_encoder(self._folder.parent / "config.yaml")
        if name is None:
            name = self._bank_provenance.get("encoder")
        if name is None:
            raise ModelError(
                "the model does not say which text encoder it was trained with",
                where=self.source,
                hint="Name it with --text-encoder.",
            )
        return str(name)


def _configured_text_encoder(config: Path) -> str | None:
    """`text.encoder` of a run's configuration, unless the run had a bank of its own."""
    try:
        text = yaml.safe_load(config.read_text(encoding="utf-8"))["text"]
        return str(text["encoder"]) if text.get("bank") is None else None
    except (OSError, yaml.YAMLError, AttributeError, KeyError, TypeError):
        return None
