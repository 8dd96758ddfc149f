"""All few-shot methods by name. A new one is one file, a line here and a name in `names.py`."""

from __future__ import annotations

from collections.abc import Mapping

from ke2nt.fewshot.coop import fit_coop
from ke2nt.fewshot.linear_probe import fit_linear_probe
from ke2nt.fewshot.method import FewShotTask, Fitted, Method
from ke2nt.fewshot.names import ZERO_SHOT
from ke2nt.fewshot.residual_adapters import fit_clip_adapter, fit_ke2nt_adapter
from ke2nt.fewshot.tip_adapter import fit_tip_adapter, fit_tip_adapter_f

__all__ = ["METHODS", "UNSEEDED"]


def _fit_nothing(task: FewShotTask) -> Fitted:
    """Compare embeddings with the bank, without training."""
    return Fitted(None, task.bank)


METHODS: Mapping[str, Method] = {
    ZERO_SHOT: _fit_nothing,
    "linear-probe": fit_linear_probe,
    "tip-adapter": fit_tip_adapter,
    "tip-adapter-f": fit_tip_adapter_f,
    "clip-adapter": fit_clip_adapter,
    "coop": fit_coop,
    "ke2nt-adapter": fit_ke2nt_adapter,
}

UNSEEDED = frozenset({ZERO_SHOT, "linear-probe"})
"""Methods without random numbers: of all images they make the same classifier for every seed."""
