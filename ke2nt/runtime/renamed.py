"""Names that changed: the old one works for one more version, with a warning."""

from __future__ import annotations

import warnings

__all__ = ["RenamedWarning", "warn_renamed"]


class RenamedWarning(FutureWarning):
    """An old name was used; it will be removed in the next version."""


def warn_renamed(kind: str, old: str, new: str) -> None:
    """Warn that a name has changed.

    Args:
        kind: What has the name, such as "dataset" or "configuration key".
        old: The name that was used.
        new: The name to use from now on.
    """
    message = f"the {kind} {old!r} is now called {new!r}; the old name will be removed"
    warnings.warn(message, RenamedWarning, stacklevel=3)
