"""A text bank on disk: tensors as safetensors, facts as JSON, each guarded by a digest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ke2nt.banks.sealed_json import read_sealed, write_sealed
from ke2nt.errors import CheckpointError, Ke2ntError
from ke2nt.runtime.atomic import write_bytes
from ke2nt.runtime.digest import digest_bytes
from ke2nt.runtime.file_content import foreign_content

if TYPE_CHECKING:
    from ke2nt.banks.text_bank import TextBank

__all__ = ["FACTS", "FORMAT_VERSION", "TENSORS", "read_bank", "read_bank_facts", "write_bank"]

TENSORS = "text_bank.safetensors"
FACTS = "text_bank.json"
FORMAT_VERSION = 1

_FORMAT = "ke2nt text bank"
_TENSOR_NAMES = ("embeddings", "neutral", "neutral_raw", "raw")

# what wrong content can raise while it is read and checked
_PROBLEMS = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,
    OverflowError,
    SafetensorError,
    Ke2ntError,
)


def write_bank(bank: TextBank, tensors: Path, facts: Path) -> None:
    """Write a bank as two files; numbers are stored as float32.

    The JSON is written last, with the digest of the tensors and of itself.
    """
    # float32 on the CPU, whatever the bank was moved or converted to
    stored = {
        name: getattr(bank, name).to("cpu", torch.float32).contiguous() for name in _TENSOR_NAMES
    }
    data = save_tensors(stored)
    write_bytes(tensors, data)

    # last, so that an interrupted write leaves no JSON that fits
    write_sealed(
        facts,
        {
            "format": _FORMAT,
            "version": FORMAT_VERSION,
            "classes": list(bank.classes),
            "neutral_index": bank.neutral_index,
            "logit_scale": float(bank.logit_scale),
            "width": bank.raw.shape[1],
            "provenance": bank.provenance,
            "tensors_sha256": digest_bytes(data),
        },
    )


def read_bank(
    bank_class: type[TextBank],
    tensors: Path,
    facts: Path,
    *,
    error: type[Ke2ntError] = CheckpointError,
) -> TextBank:
    """Read a bank from its two files; nothing in them is trusted.

    Args:
        bank_class: `TextBank`; a parameter, because its file imports this one.
        tensors: The safetensors file.
        facts: The JSON file.
        error: What to raise.

    Raises:
        error: A file is missing, truncated, altered or not what it should be.
    """
    stored = read_bank_facts(facts, error=error)
    try:
        data = tensors.read_bytes()
        if digest_bytes(data) != stored["tensors_sha256"]:
            raise ValueError("the file was truncated or altered: its digest differs")

        # the class checks shapes, types and norms
        loaded = load_tensors(data)
        if sorted(loaded) != list(_TENSOR_NAMES):
            raise ValueError(f"expected the tensors {', '.join(_TENSOR_NAMES)}")
        return bank_class(
            **loaded,
            classes=tuple(stored["classes"]),
            neutral_index=stored["neutral_index"],
            logit_scale=stored["logit_scale"],
            provenance=stored["provenance"],
        )
    except _PROBLEMS as problem:
        raise _unusable(error, tensors, problem) from problem


def read_bank_facts(path: Path, *, error: type[Ke2ntError] = CheckpointError) -> dict[str, Any]:
    """Read and check the JSON of a bank.

    Raises:
        error: It is missing, altered, of another version, or not the JSON of a text bank.
    """
    try:
        facts = read_sealed(path)
        _check_facts(facts)
    except (OSError, ValueError, RecursionError) as problem:
        raise _unusable(error, path, problem) from problem
    return facts


def _check_facts(facts: dict[str, Any]) -> None:
    if facts.get("format") != _FORMAT:
        raise ValueError("this is not the JSON of a text bank")
    if facts.get("version") != FORMAT_VERSION:
        raise ValueError(f"format version {facts.get('version')!r}, this is {FORMAT_VERSION}")

    classes, index = facts.get("classes"), facts.get("neutral_index")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError("classes must be a list of names")
    # a bool is an int to isinstance, so types are compared
    if index is not None and type(index) is not int:
        raise ValueError("neutral_index must be a whole number or null")
    if type(facts.get("width")) is not int:
        raise ValueError("width must be a whole number")
    if type(facts.get("logit_scale")) is not float:
        raise ValueError("logit_scale must be a number with a decimal point")
    if not isinstance(facts.get("provenance"), dict):
        raise ValueError("provenance must be an object")


def _unusable(error: type[Ke2ntError], path: Path, problem: BaseException) -> Ke2ntError:
    if isinstance(problem, FileNotFoundError):
        return error("a file of the text bank is missing", where=path)
    if path.parent.is_file():
        return error(
            "the text bank cannot be used",
            where=path.parent,
            expected="a folder with text_bank.json and text_bank.safetensors",
            found="a file",
            hint="Name the folder that holds them, such as model/ of a run.",
        )
    if path.is_file() and (answer := foreign_content(path)) is not None:
        found, hint = answer
        return error("the text bank cannot be used", where=path, found=found, hint=hint)
    return error("the text bank cannot be used", where=path, found=str(problem) or repr(problem))
