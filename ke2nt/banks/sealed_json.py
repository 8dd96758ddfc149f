"""JSON files that hold their own digest, so that a truncated or altered file is noticed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ke2nt.runtime.atomic import write_json
from ke2nt.runtime.digest import digest_json

__all__ = ["read_sealed", "write_sealed"]

_SEAL = "facts_sha256"


def write_sealed(path: Path, facts: dict[str, Any]) -> None:
    """Write facts and their digest."""
    write_json(path, {**facts, _SEAL: digest_json(facts)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read what `write_sealed` wrote, without the digest.

    Raises:
        OSError: The file cannot be read.
        ValueError: It was truncated or altered, or is something else.
        RecursionError: It is nested too deeply.
    """
    facts = json.loads(path.read_bytes())
    if not isinstance(facts, dict) or facts.pop(_SEAL, None) != digest_json(facts):
        raise ValueError("the file was truncated or altered: its digest differs")

    # lone surrogates pass the digest, but they cannot be printed
    json.dumps(facts, ensure_ascii=False).encode()
    return facts
