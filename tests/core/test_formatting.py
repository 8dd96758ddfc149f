"""Shares as text."""

from __future__ import annotations

import pytest

from ke2nt.runtime.formatting import percent, percent_cell, percent_points


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (0.8453, 1, "84.5 %"),
        (0.8453, 0, "85 %"),
        (0.8453, 2, "84.53 %"),
        (1, 1, "100.0 %"),
        ((0.832, 0.857), 1, "83.2–85.7 %"),
        ([0.832, 0.857], 0, "83–86 %"),
        (None, 1, "–"),
    ],
)
def test_percent(share, digits, text):
    assert percent(share, digits) == text
    assert percent_cell(share, digits) == text.removesuffix(" %")


@pytest.mark.parametrize(
    ("difference", "interval", "text"),
    [
        (0.0123, None, "+1.2"),
        (-0.0123, (-0.03, 0.002), "-1.2 (-3.0 to +0.2)"),
        (0.0, None, "0.0"),
        (-0.0001, (-0.0001, 0.01), "0.0 (0.0 to +1.0)"),
        (None, None, "–"),
    ],
)
def test_percent_points(difference, interval, text):
    assert percent_points(difference, interval) == text
