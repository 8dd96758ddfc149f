"""GELU or QuickGELU: which one a checkpoint was trained with, by all that its files say.

Both have the same tensors, so weights of one load into the other, and give other embeddings.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Activation", "Evidence", "describe_activation", "evidence_of_name", "find_evidence"]

Activation = Literal["gelu", "quick_gelu"]
_LABELS: Mapping[Activation, str] = {"gelu": "GELU", "quick_gelu": "QuickGELU"}

# OpenAI's files hold these three beside the weights; no others do
_OPENAI_FACTS = ("input_resolution", "context_length", "vocab_size")
# makers of CLIP models in names, such as those of hub ids
_KNOWN_NAMES: Mapping[str, Activation] = {
    "quickgelu": "quick_gelu",
    "openai": "quick_gelu",
    "metaclip": "quick_gelu",
    "laion2b": "gelu",
    "datacomp": "gelu",
}
_LARGEST_HEADER = 1 << 26  # bytes of names that are read from a file


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a checkpoint's files say about its activation.

    Attributes:
        activation: The one it was trained with.
        reason: Where that is said, for messages: "by its name".
        certain: Whether it overrules the architecture. A name alone does not.
    """

    activation: Activation
    reason: str
    certain: bool


def find_evidence(checkpoint: Path, tags: Mapping[str, Activation]) -> Evidence | None:
    """Look for an activation in a checkpoint, the configurations beside it, and its name.

    Args:
        checkpoint: The file of the weights.
        tags: Known names of pretrained weights, such as "laion400m_e32", and their activation.
    """
    if _is_from_openai(checkpoint):
        return Evidence("quick_gelu", "it is a file of OpenAI", certain=True)

    for find in (_from_open_clip_config, _from_transformers_config):
        evidence = find(checkpoint.parent)
        if evidence is not None:
            return evidence
    return _from_name(checkpoint, tags)


def describe_activation(
    model: str, used: Activation, named: Activation, evidence: Evidence | None, cosine: float | None
) -> str | None:
    """Say that the activation may be the wrong one; None if the files confirm it.

    Args:
        model: The encoder, for the message.
        used: The activation that it computes with.
        named: The one of the architecture or configuration that the user named.
        evidence: What the checkpoint's files say, or None.
        cosine: Cosine of a probe text's embeddings under the two activations, or None.
    """
    if evidence is not None and evidence.activation == used == named:
        return None

    effect = "" if cosine is None else f"; embeddings of a probe text have cosine {cosine:.4f}"
    if evidence is None:
        return (
            f"{model}: nothing says whether the checkpoint was trained with GELU or QuickGELU, "
            f"which have the same tensors; {_LABELS[used]} is used, as named{effect}"
        )

    trained = f"{model}: the checkpoint was trained with {_LABELS[evidence.activation]}"
    if evidence.activation == used:
        return f"{trained} ({evidence.reason}), which is used in place of {_LABELS[named]}{effect}"
    return f"{trained} ({evidence.reason}), but {_LABELS[used]} is used, as named{effect}"


def evidence_of_name(source: str) -> Evidence | None:
    """What the name of a folder or hub id of transformers says, in its last two parts."""
    name = "/".join(source.lower().replace("-", "_").split("/")[-2:])
    for word, activation in _KNOWN_NAMES.items():
        if word in name:
            return Evidence(activation, f"by its name, {word}", certain=False)
    return None


def _is_from_openai(checkpoint: Path) -> bool:
    """Whether the names in a file are those of OpenAI's releases."""
    names = _header(checkpoint)
    return all(fact.encode() in names for fact in _OPENAI_FACTS)


def _header(path: Path) -> bytes:
    """The part of a file that holds the names of its tensors, b"" if that is not known."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                names = [name for name in archive.namelist() if name.endswith("data.pkl")]
                if not names or archive.getinfo(names[0]).file_size > _LARGEST_HEADER:
                    return b""
                return archive.read(names[0])
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            return file.read(length) if length <= _LARGEST_HEADER else b""
    except (OSError, zipfile.BadZipFile, struct.error):
        return b""  # loading the file will say what is wrong


def _from_open_clip_config(folder: Path) -> Evidence | None:
    config = _read_object(folder / "open_clip_config.json").get("model_cfg")
    if not isinstance(config, dict):
        return None
    activation: Activation = "quick_gelu" if config.get("quick_gelu") else "gelu"
    return Evidence(activation, "by open_clip_config.json beside it", certain=True)


def _from_transformers_config(folder: Path) -> Evidence | None:
    config = _read_object(folder / "config.json")
    text = config.get("text_config")
    act = (text if isinstance(text, dict) else config).get("hidden_act")
    if act == "quick_gelu":
        return Evidence("quick_gelu", "by hidden_act in config.json beside it", certain=True)
    if isinstance(act, str) and "gelu" in act:
        return Evidence("gelu", "by hidden_act in config.json beside it", certain=True)
    return None


def _from_name(checkpoint: Path, tags: Mapping[str, Activation]) -> Evidence | None:
    name = f"{checkpoint.parent.name}/{checkpoint.name}".lower().replace("-", "_")
    if "quickgelu" in name or "quick_gelu" in name:
        return Evidence("quick_gelu", "by its name", certain=False)

    # the longest tag, as one may be a part of another
    known: Collection[str] = [tag for tag in tags if tag.lower().replace("-", "_") in name]
    if not known:
        return None
    tag = max(known, key=len)
    return Evidence(tags[tag], f"by its name, {tag}", certain=False)


def _read_object(path: Path) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
