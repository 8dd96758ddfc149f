"""A loop that ends at an error, so that what came before it can be finished first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

__all__ = ["UntilError"]

T = TypeVar("T")


class UntilError(Generic[T]):
    """The values of an iterable up to its end, an error of it, or Ctrl-C.

    Args:
        values: The iterable.

    Example:
        >>> rows = UntilError(read_rows())
        >>> for row in rows:
        ...     waiting.append(row)
        >>> write(waiting)
        >>> rows.reraise()
    """

    def __init__(self, values: Iterable[T]) -> None:
        self._values = values
        self._error: BaseException | None = None

    def __iter__(self) -> Iterator[T]:
        try:
            yield from self._values
        except (Exception, KeyboardInterrupt) as error:
            self._error = error

    def reraise(self) -> None:
        """Raise the error that ended the loop, if one did."""
        if self._error is not None:
            raise self._error
