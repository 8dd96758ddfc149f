"""How the texts of options are read: NAME=VALUE pairs, lists of names, folders to write to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from ke2nt.errors import ConfigError
from ke2nt.runtime.atomic import check_folder

__all__ = [
    "PART_OF_TRAIN",
    "check_prior",
    "check_text_encoder",
    "check_writable",
    "check_zip",
    "quote_yaml",
    "read_names",
    "read_pairs",
    "read_reader_options",
]

PART_OF_TRAIN = "null"
"""Value of --val-split: no split of its own, as `data.val_split=null` of `ke2nt train`."""


def check_writable(param: typer.CallbackParam, folder: Path | None) -> Path | None:
    """Check an output folder before any work is done; the callback of options that name one."""
    if folder is not None:
        check_folder(folder, option=param.opts[0])
    return folder


def check_prior(prior: str | None) -> str | None:
    """Check a class prior before any work is done; the callback of the option."""
    from ke2nt.models.prior_values import read_prior

    if prior is not None:
        read_prior(prior)
    return prior


def check_text_encoder(name: str | None) -> str | None:
    """Check the name of a text encoder without torch; the callback of the option.

    Raises:
        TextEncoderError: There is no such encoder, architecture or folder.
    """
    from ke2nt.vlm.catalog import DEFAULT_ENCODER, VISION_LANGUAGE_MODELS, get_text_encoder
    from ke2nt.vlm.source_names import check_source_name

    if name is None or name == DEFAULT_ENCODER:
        return name
    library, _, source = name.partition(":")
    if library in VISION_LANGUAGE_MODELS and source:
        check_source_name(name)
    else:
        get_text_encoder(name)
    return name


def check_zip(param: typer.CallbackParam, path: Path | None) -> Path | None:
    """Check the name of a zip file before any work is done; the callback of options that name one.

    Raises:
        ConfigError: It has another suffix, or its folder cannot be written.
    """
    if path is not None:
        if path.suffix.lower() != ".zip" or path.is_dir():
            raise ConfigError("not the name of a zip file", expected="FILE.zip", found=path)
        check_folder(path.parent, option=param.opts[0])
    return path


def read_names(text: str | None) -> list[str] | None:
    """Split names that are separated by commas."""
    return None if text is None else [name.strip() for name in text.split(",")]


def read_pairs(texts: Iterable[str] | None, flag: str, *, yaml: bool = False) -> dict[str, Any]:
    """Read NAME=VALUE texts as a mapping.

    Args:
        texts: What was given, or None.
        flag: The option, for messages.
        yaml: Whether values are YAML; otherwise they are plain text.

    Raises:
        ConfigError: A text has no name or no value, or its value is not valid YAML.
    """
    import yaml as yaml_library

    pairs: dict[str, Any] = {}
    for text in texts or ():
        # an empty value is more often a slip than meant
        name, _, value = (part.strip() for part in text.partition("="))
        error = ConfigError(f"{flag} is not valid", expected="NAME=VALUE", found=repr(text))
        if not (name and value):
            raise error
        try:
            pairs[name] = yaml_library.safe_load(value) if yaml else value
        except yaml_library.YAMLError:
            raise error from None
    return pairs


def read_reader_options(option: Iterable[str] | None, rule: str | None) -> dict[str, Any]:
    """Read the options of a dataset reader from --option and --rule.

    Raises:
        ConfigError: An option is not valid, or both name the rule.
    """
    # --rule is the short form of the option that is used most
    options = read_pairs(option, "--option", yaml=True)
    if rule is None:
        return options
    if "rule" in options:
        raise ConfigError(
            "the rule is given twice",
            expected="--rule or --option rule=…",
            found=f"{rule} and {options['rule']}",
        )
    return {**options, "rule": rule}


def quote_yaml(text: str) -> str:
    """Write a text as a YAML scalar that reads back as the same text."""
    return "'" + text.replace("'", "''") + "'"
