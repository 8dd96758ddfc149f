"""McNemar's test: whether one of two predictions for the same images is right more often."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ke2nt.errors import DataError

__all__ = ["EXACT_UP_TO", "McNemar", "mcnemar"]

EXACT_UP_TO = 1000


@dataclass(frozen=True, slots=True)
class McNemar:
    """Result of the test; only images that exactly one prediction gets right count.

    Attributes:
        only_first: Images that only the first gets right.
        only_second: Images that only the second gets right.
        p_value: Two-sided, in [0, 1]; 1 if there is no such image.
        exact: Whether it is the binomial test, or its chi-squared approximation.
    """

    only_first: int
    only_second: int
    p_value: float
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        """Return a plain JSON value."""
        return {
            "only_first": self.only_first,
            "only_second": self.only_second,
            "p_value": self.p_value,
            "test": "exact binomial" if self.exact else "chi-squared, continuity-corrected",
        }


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """Test two discordant counts b and c (McNemar, Psychometrika 12:153, 1947).

    Up to `EXACT_UP_TO` discordant images, this is the binomial probability, under even chances, of
    a split at least as uneven. Beyond, χ² = (|b − c| − 1)² / (b + c) with one degree of freedom
    (Edwards, Psychometrika 13:185, 1948).

    Raises:
        DataError: A count is negative.
    """
    if min(only_first, only_second) < 0:
        raise DataError("counts cannot be negative", found=f"{only_first} and {only_second}")

    # Exact in integers: 2 · P(X ≤ fewer) for X ~ Binomial(n, 1/2).
    n, fewer = only_first + only_second, min(only_first, only_second)
    if n <= EXACT_UP_TO:
        tail = sum(math.comb(n, i) for i in range(fewer + 1))
        return McNemar(only_first, only_second, min(1.0, 2 * tail / 2**n), True)

    chi = max(abs(only_first - only_second) - 1, 0) ** 2 / n
    return McNemar(only_first, only_second, math.erfc(math.sqrt(chi / 2)), False)
