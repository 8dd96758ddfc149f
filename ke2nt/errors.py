"""Errors for users: what was expected and found, where, and what to do."""

from __future__ import annotations

from typing import Any

__all__ = [
    "CacheError",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ImageReadError",
    "Ke2ntError",
    "Ke2ntWarning",
    "LabelError",
    "LayoutError",
    "MissingExtraError",
    "ModelError",
    "PromptError",
    "TextEncoderError",
    "TrainingError",
]


class Ke2ntError(Exception):
    """Base of every error that ke2nt raises on bad input.

    The command line prints it as one clear line and exits with `exit_code`.

    Args:
        message: What is wrong, as a sentence without a final period.
        expected: What would be right.
        found: What is there instead.
        where: The file, key or position.
        hint: What to type or change next.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        expected: object = None,
        found: object = None,
        where: object = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.expected = expected
        self.found = found
        self.where = where
        self.hint = hint
        super().__init__(self._text())

    # worker processes send errors to the main process
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.args, self.__dict__)

    def _text(self) -> str:
        parts = [self.message]
        if self.where is not None:
            parts[0] += f" (in {self.where})"
        if self.expected is not None:
            parts.append(f"expected {self.expected}")
        if self.found is not None:
            parts.append(f"found {self.found}")
        text = "; ".join(parts)
        text = f"{text.removesuffix('.')}. {self.hint}" if self.hint else text
        # file names that are not UTF-8 hold characters that cannot be printed
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _rebuild(
    kind: type[Ke2ntError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> Ke2ntError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class Ke2ntWarning(UserWarning):
    """Something works, but may not be what the user means; the command line prints it."""


class ConfigError(Ke2ntError):
    """A configuration file or override is not valid."""


class LabelError(Ke2ntError):
    """Class names or label sets do not match."""


class PromptError(Ke2ntError):
    """A prompt set is not valid, or a prompt is too long for the text encoder."""


class TextEncoderError(Ke2ntError):
    """A text encoder cannot be found, loaded or verified."""


class CacheError(Ke2ntError):
    """A cache entry is damaged or a cache folder cannot be used."""


class DataError(Ke2ntError):
    """A dataset or split cannot be used as requested."""


class LayoutError(DataError):
    """A folder does not have the layout of the named dataset."""


class ImageReadError(DataError):
    """One image cannot be decoded."""


class ModelError(Ke2ntError):
    """A model cannot be built, or its input does not fit."""


class CheckpointError(Ke2ntError):
    """Saved weights or a run directory cannot be read, or do not match."""


class TrainingError(Ke2ntError):
    """Training cannot start or continue."""


class MissingExtraError(Ke2ntError):
    """An optional package is missing; the message has the command that installs it.

    Args:
        package: The package that could not be imported.
        extra: The extra of ke2nt that installs it.
        purpose: What it is needed for.
    """

    def __init__(self, package: str, *, extra: str, purpose: str) -> None:
        super().__init__(
            f"the package {package} is needed for {purpose} and is not installed",
            hint=f"Type: pip install 'ke2nt[{extra}]'",
        )
