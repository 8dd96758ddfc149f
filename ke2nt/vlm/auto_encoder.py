"""`text.encoder: auto`: CLIP where CLIP is, without torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ke2nt.runtime.hub_names import offline
from ke2nt.vlm.catalog import DEFAULT_ENCODER, VISION_LANGUAGE_MODELS

__all__ = ["AUTO_ENCODER", "choose_text_encoder"]

AUTO_ENCODER = "auto"

# CLIP ViT-B/16, the text encoder of KE2NT: name → repository of the hub and files of its weights
_CLIP: Mapping[str, tuple[str, Sequence[str]]] = {
    "open_clip:ViT-B-16/openai": (
        "timm/vit_base_patch16_clip_224.openai",
        ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    ),
    "transformers:openai/clip-vit-base-patch16": (
        "openai/clip-vit-base-patch16",
        ("model.safetensors", "pytorch_model.bin"),
    ),
}


def choose_text_encoder(backbone: str, *, fetch: bool = False) -> tuple[str, str]:
    """Choose the text encoder that `auto` stands for.

    Args:
        backbone: The image encoder; a vision-language model brings its own text.
        fetch: Whether CLIP's weights may be fetched.

    Returns:
        The name of the encoder, and why, in words.
    """
    library, colon, _ = backbone.partition(":")
    if colon and library in VISION_LANGUAGE_MODELS:
        return backbone, "the text of the image tower"

    for name, (repository, files) in _CLIP.items():
        if _is_cached(repository, files):
            return name, "CLIP's weights are on this machine"
    if fetch and not offline():
        return next(iter(_CLIP)), "CLIP's weights may be fetched"
    return DEFAULT_ENCODER, "CLIP's weights are not on this machine; text.fetch=true fetches them"


def _is_cached(repository: str, files: Sequence[str]) -> bool:
    """Whether the hub's local cache has one of some files."""
    home = os.environ.get("HF_HOME") or Path("~/.cache/huggingface").expanduser()
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home, "hub")).expanduser()
    snapshots = hub / f"models--{repository.replace('/', '--')}" / "snapshots"
    return any(path.is_file() for name in files for path in snapshots.glob(f"*/{name}"))
