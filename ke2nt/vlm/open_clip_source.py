"""What a name of an open_clip model refers to, and the folders in which such models are saved."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.file_content import check_content

__all__ = ["OpenClipSource", "read_folder", "refuse_naflex"]

_CONFIG = "open_clip_config.json"

# open_clip's order of preference for the weights in a local folder
_CHECKPOINTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
)


@dataclass(frozen=True, slots=True)
class OpenClipSource:
    """Where a model of open_clip comes from.

    Attributes:
        label: Name in ids and cache keys; it holds no folder of this machine.
        model: Name under which open_clip creates the model.
        config: open_clip's `model_cfg`.
        checkpoint: File of the weights, or None if `tag` says where they are.
        tag: open_clip's facts about a pretrained tag; empty for a local file.
        folder: Local folder that holds configuration and weights, or None.
        preprocess_cfg: Preprocessing that the folder names.
    """

    label: str
    model: str
    config: dict[str, Any]
    checkpoint: Path | None
    tag: dict[str, Any]
    folder: Path | None = None
    preprocess_cfg: dict[str, Any] = field(default_factory=dict)

    @property
    def quick_gelu(self) -> bool:
        """Whether the weights were trained with QuickGELU."""
        return bool(self.config.get("quick_gelu") or self.tag.get("quick_gelu"))


def refuse_naflex(config: Mapping[str, Any], *, where: object) -> None:
    """Refuse image towers that take images of any resolution.

    Args:
        config: open_clip's `model_cfg`.
        where: The model, for the message.

    Raises:
        TextEncoderError: The tower is a NaFlex ViT.
    """
    tower = str((config.get("vision_cfg") or {}).get("timm_model_name", ""))
    if "naflex" in tower.lower():
        raise TextEncoderError(
            "the model has a NaFlex image tower, which ke2nt does not support",
            where=where,
            expected="a tower of one resolution",
            found=tower,
            hint="Name a model of one resolution, such as open_clip:ViT-B-16-SigLIP2/webli.",
        )


def read_folder(folder: Path) -> OpenClipSource:
    """Read a folder with open_clip_config.json and weights.

    Raises:
        TextEncoderError: The folder holds no configuration, or no weights.
    """
    try:
        facts = json.loads((folder / _CONFIG).read_bytes())
        config = facts["model_cfg"]
        config["text_cfg"].get("hf_tokenizer_name")  # fails here if it is not an object
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        check_content(folder / _CONFIG, TextEncoderError)
        raise TextEncoderError(
            "the folder holds no open_clip model",
            where=folder,
            expected=f"{_CONFIG} with model_cfg and text_cfg",
            found="no such file" if isinstance(error, FileNotFoundError) else repr(error),
        ) from error

    refuse_naflex(config, where=folder)
    # the first name that open_clip itself would load
    checkpoint = next((folder / name for name in _CHECKPOINTS if (folder / name).is_file()), None)
    if checkpoint is None:
        raise TextEncoderError(
            "the folder holds no weights",
            where=folder,
            expected=f"one of {', '.join(_CHECKPOINTS)}",
        )
    return OpenClipSource(
        label=folder.name,
        model=f"local-dir:{folder}",
        config=config,
        checkpoint=checkpoint,
        tag={},
        folder=folder,
        preprocess_cfg=dict(facts.get("preprocess_cfg") or {}),
    )
