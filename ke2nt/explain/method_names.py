"""Names of the methods, checked without importing them: they need torch."""

from __future__ import annotations

from ke2nt.errors import ConfigError
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["METHOD_NAMES", "check_method_name"]

METHOD_NAMES = ("attention", "gradcam", "occlusion")


def check_method_name(name: str) -> None:
    """Check the name of a method.

    Raises:
        ConfigError: The name is unknown.
    """
    if name not in METHOD_NAMES:
        raise ConfigError(
            f"unknown method {name!r}",
            expected=f"one of {', '.join(METHOD_NAMES)}",
            hint=did_you_mean(name, METHOD_NAMES),
        )
