"""A class prior as people write it: a name, a number, shares of each class, or a file of them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from ke2nt.errors import ConfigError
from ke2nt.runtime.plain_yaml import PlainLoader
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["EXPECTED", "Prior", "PriorLike", "prior_file", "read_prior"]

Prior: TypeAlias = float | Mapping[str, float]
"""A power of the training shares, 1 for natural and 0 for even; or a share of each class."""

PriorLike: TypeAlias = str | Path | float | Mapping[str, float]
"""What `read_prior` reads."""

EXPECTED = "natural, even, a number from 0 to 1, CLASS=SHARE,…, or a JSON, YAML or CSV file"
_NAMES = {"natural": 1.0, "even": 0.0}
_SUFFIXES = (".json", ".yaml", ".yml", ".csv")
_FILE = 'UTF-8 text with a share for each class, such as {"neutral": 0.5, "happiness": 0.5}'


def read_prior(value: PriorLike) -> Prior:
    """Read a prior.

    Args:
        value: "natural": the class shares of the training labels. "even": all classes alike. A
            number α from 0 to 1: the natural shares to the power α, between the two. Shares or
            counts of each class: a mapping, "neutral=0.5,happiness=0.5", or a file: a JSON or YAML
            mapping, or a CSV table with a class and its share in each row.

    Raises:
        ConfigError: It is none of them, or a share is not valid.
    """
    if isinstance(value, str | Path):
        return _read_text(str(value))
    if isinstance(value, Mapping):
        return _check_shares(value, value)
    if isinstance(value, int | float) and 0 <= value <= 1:
        return float(value)
    raise _invalid(value)


def prior_file(value: PriorLike) -> Path | None:
    """Return the file that holds a prior, or None for a prior that is no file."""
    is_file = isinstance(value, str | Path) and str(value).lower().endswith(_SUFFIXES)
    return Path(str(value)) if is_file else None


def _read_text(text: str) -> Prior:
    if text in _NAMES:
        return _NAMES[text]
    path = prior_file(text)
    if path is not None:
        return _check_shares(_read_file(path), text)
    if "=" in text:
        pairs = [pair.partition("=") for pair in text.split(",")]
        return _check_shares(_pair_up((name, share) for name, _, share in pairs), text)
    try:
        return read_prior(float(text))
    except ValueError:
        raise _invalid(text) from None


def _read_file(path: Path) -> Any:
    """Content of a file, which should be a mapping."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() == ".json":
            return json.loads(text, object_pairs_hook=_pair_up)
        if path.suffix.lower() != ".csv":
            return yaml.load(text, Loader=PlainLoader)  # a SafeLoader
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(
            "the class prior cannot be read", where=path, expected=_FILE, found=_describe(error)
        ) from error

    # a header such as "class,share" has no number
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    if rows and not _is_number(rows[0][-1]):
        rows = rows[1:]
    if any(len(row) != 2 for row in rows):
        raise ConfigError("the class prior is not a table of two columns", where=path)
    return _pair_up((name, share) for name, share in rows)


def _pair_up(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Class → share, of which a dict would keep the last of a repeated class."""
    shares: dict[str, Any] = {}
    for name, share in pairs:
        name = name.strip()
        if name in shares:
            raise ConfigError(
                f"the class prior names {name!r} twice", expected="each class of the model once"
            )
        shares[name] = share
    return shares


def _describe(error: Exception) -> str:
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    if isinstance(error, UnicodeDecodeError):
        return "bytes that are not UTF-8"
    return f"text that is not valid: {' '.join(str(error).split())}"


def _check_shares(shares: Any, where: object) -> dict[str, float]:
    """Shares that sum to 1."""
    if not isinstance(shares, Mapping) or not all(map(_is_number, shares.values())):
        raise ConfigError(
            "the class prior has no shares", expected="a number for each class", found=where
        )
    numbers = {str(name): float(share) for name, share in shares.items()}
    total = math.fsum(numbers.values())
    if not all(0 <= share < math.inf for share in numbers.values()) or not 0 < total < math.inf:
        raise ConfigError(
            "the shares of the class prior are not valid",
            expected="0 or more for each class, not all 0",
            found=numbers,
        )
    return {name: share / total for name, share in numbers.items()}


def _is_number(value: object) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(float(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False


def _invalid(value: object) -> ConfigError:
    hint = did_you_mean(value, _NAMES) if isinstance(value, str) else None
    return ConfigError(f"unknown class prior {value!r}", expected=EXPECTED, hint=hint)
