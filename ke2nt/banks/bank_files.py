"""A text bank on disk: tensors as safetensors, facts as JSON, each guarded by a digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ke2nt.banks.bank_content import BankContent
from ke2nt.banks.text_recipe import FORMAT_VERSION
from ke2nt.errors import CheckpointError, Ke2ntError
from ke2nt.runtime.atomic import write_bytes, write_json
from ke2nt.runtime.digest import digest_bytes, digest_json

__all__ = ["FACTS", "TENSORS", "read_bank", "read_facts", "write_bank"]

TENSORS = "text_bank.safetensors"
FACTS = "text_bank.json"
_FORMAT = "ke2nt text bank"
_NAMES = ("embeddings", "neutral", "neutral_raw", "raw")


def write_bank(bank: BankContent, tensors: Path, facts: Path) -> None:
    """Write a bank as two files; numbers are stored as float32.

    The JSON is written last, with the digest of the tensors and of itself.
    """
    data = save_tensors(
        {name: getattr(bank, name).to("cpu", torch.float32).contiguous() for name in _NAMES}
    )
    body: dict[str, Any] = {
        "format": _FORMAT,
        "version": FORMAT_VERSION,
        "classes": list(bank.classes),
        "neutral_index": bank.neutral_index,
        "logit_scale": float(bank.logit_scale),
        "width": bank.raw.shape[1],
        "provenance": bank.provenance,
        "tensors_sha256": digest_bytes(data),
    }
    write_bytes(tensors, data)
    write_json(facts, {**body, "facts_sha256": digest_json(body)})


def read_facts(path: Path, *, error: type[Ke2ntError] = CheckpointError) -> dict[str, Any]:
    """Read and check the JSON of a bank.

    Raises:
        error: It is missing, altered, of another version, or not the JSON of a text bank.
    """
    try:
        facts = json.loads(path.read_bytes())
        if not isinstance(facts, dict) or facts.get("format") != _FORMAT:
            raise ValueError("this is not the JSON of a text bank")
        body = {name: value for name, value in facts.items() if name != "facts_sha256"}
        if facts.get("facts_sha256") != digest_json(body):
            raise ValueError("the file was truncated or altered: its digest differs")
        json.dumps(body, ensure_ascii=False).encode()  # no half characters that cannot be printed
        _check_facts(facts)
    except (OSError, ValueError, RecursionError) as problem:
        raise _refusal(error, path, problem) from problem
    return facts


def read_bank(
    tensors: Path, facts: Path, *, error: type[Ke2ntError] = CheckpointError
) -> BankContent:
    """Read a bank from its two files; nothing in them is trusted.

    Raises:
        error: A file is missing, truncated, altered or not what it should be.
    """
    known = read_facts(facts, error=error)
    try:
        data = tensors.read_bytes()
        if digest_bytes(data) != known["tensors_sha256"]:
            raise ValueError("the file was truncated or altered: its digest differs")
        loaded = load_tensors(data)
        if sorted(loaded) != list(_NAMES):
            raise ValueError(f"expected the tensors {', '.join(_NAMES)}")
        return BankContent(
            **loaded,
            classes=tuple(known["classes"]),
            neutral_index=known["neutral_index"],
            logit_scale=known["logit_scale"],
            provenance=known["provenance"],
        )
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        RuntimeError,
        OverflowError,
        SafetensorError,
        Ke2ntError,
    ) as problem:
        raise _refusal(error, tensors, problem) from problem


def _check_facts(facts: dict[str, Any]) -> None:
    if facts.get("version") != FORMAT_VERSION:
        raise ValueError(f"format version {facts.get('version')!r}, this is {FORMAT_VERSION}")
    classes, index = facts.get("classes"), facts.get("neutral_index")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError("classes must be a list of names")
    if index is not None and type(index) is not int:
        raise ValueError("neutral_index must be a whole number or null")
    if type(facts.get("width")) is not int:
        raise ValueError("width must be a whole number")
    if type(facts.get("logit_scale")) is not float:
        raise ValueError("logit_scale must be a number with a decimal point")
    if not isinstance(facts.get("provenance"), dict):
        raise ValueError("provenance must be an object")


def _refusal(error: type[Ke2ntError], path: Path, problem: BaseException) -> Ke2ntError:
    if isinstance(problem, FileNotFoundError):
        return error("a file of the text bank is missing", where=path)
    return error("the text bank cannot be used", where=path, found=str(problem) or repr(problem))
