"""Methods that train a residual map of frozen embeddings: CLIP-Adapter, and KE2NT's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ke2nt.fewshot.method import FewShotTask, Fitted
from ke2nt.fewshot.selection import ValidationScore, choose_best, score_validation
from ke2nt.fewshot.train_adapter import build_seeded, train_adapter
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.adapters import ClipAdapter, NeutralAdapter

__all__ = ["fit_clip_adapter", "fit_ke2nt_adapter"]

_CLIP_RATIOS = (0.2, 0.4, 0.6, 0.8)
_KE2NT_RATIOS = (0.1, 0.3, 1.0)
_RATE = 1e-3
_NEUTRAL_RATE = 1e-2  # the map to neutral changes no logits, so it may learn fast


def fit_clip_adapter(task: FewShotTask) -> Fitted:
    """Train CLIP-Adapter's residual map with cross-entropy; the ratio is chosen on validation."""
    cross_entropy = KE2NTLoss((1, 0, 0))
    dim = task.bank.dim
    return _fit_ratios(
        lambda ratio: ClipAdapter(dim, ratio), _CLIP_RATIOS, cross_entropy, task, "clip-adapter"
    )


def fit_ke2nt_adapter(
    task: FewShotTask, *, rate: float = _RATE, neutral_rate: float = _NEUTRAL_RATE
) -> Fitted:
    """Train a residual map and the neutral transformation with L_s + L_t + L_c.

    The difference of both embeddings of a face then points the way that the text moves from the
    expression to neutral, for an encoder that was never trained for it.

    Args:
        task: What to learn.
        rate: First learning rate of the residual map.
        neutral_rate: First learning rate of the neutral transformation.

    `benchmarks/adapter_rate.py` compares both rates with others.
    """
    dim = task.bank.dim
    return _fit_ratios(
        lambda ratio: NeutralAdapter(dim, ratio),
        _KE2NT_RATIOS,
        KE2NTLoss(),
        task,
        "ke2nt-adapter",
        rates={"residual": rate, "transformation": neutral_rate},
    )


def _fit_ratios(
    build: Callable[[float], ClipAdapter | NeutralAdapter],
    ratios: tuple[float, ...],
    loss: KE2NTLoss,
    task: FewShotTask,
    purpose: str,
    rates: Mapping[str, float] | None = None,
) -> Fitted:
    """Train one adapter for each ratio, and keep the best on the validation images."""

    def candidates() -> Iterator[tuple[tuple[float, Fitted], ValidationScore]]:
        for ratio in ratios:
            adapter = build_seeded(lambda: build(ratio), task, purpose)  # noqa: B023
            train_adapter(adapter, task, loss, rate=_RATE, purpose=purpose, rates=rates)
            fitted = Fitted(adapter, task.bank)
            logits = fitted.logits(task.validation.embeddings, task.logit_scale)
            yield (ratio, fitted), score_validation(logits, task.validation.labels)

    (ratio, fitted), score = choose_best(candidates())
    chosen = {"ratio": ratio, "validation_uar": score.uar}
    return Fitted(fitted.adapter, task.bank, chosen)
