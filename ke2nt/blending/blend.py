"""Weights of saved models averaged: WiSE-FT between two of them, and model soups of several.

Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022; "Model soups", ICML 2022.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ke2nt.blending.alphas import DEFAULT_ALPHAS, check_alphas, parse_alphas
from ke2nt.blending.average import average_states
from ke2nt.blending.card import blended_card
from ke2nt.blending.choosing import ChoosingSplit
from ke2nt.blending.ingredients import Ingredients, read_ingredients
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ConfigError, ModelError
from ke2nt.evaluation.cross_dataset import applicable_merges
from ke2nt.evaluation.evaluate_model import EvaluationOptions, decode_for_model, evaluate_model
from ke2nt.evaluation.score import Evaluation
from ke2nt.evaluation.targets import Target, disambiguate_targets
from ke2nt.models.base import ExpressionModel
from ke2nt.models.batch_norms import batch_norms
from ke2nt.models.recompute_statistics import recompute_statistics

__all__ = ["BatchNorm", "Blend", "BlendPoint", "Metric", "Soup", "blend"]

Soup = Literal["uniform", "greedy"]
Metric = Literal["accuracy", "uar", "macro_f1"]
BatchNorm = Literal["interpolate", "recompute"]


@dataclass(frozen=True)
class BlendPoint:
    """One average of the models.

    Attributes:
        label: Its name in tables, such as "0.3" for α = 0.3.
        shares: Share of each model, with sum 1.
        score: The metric on the choosing images; None if nothing is chosen.
        evaluations: Name of each dataset → metrics.
    """

    label: str
    shares: tuple[float, ...]
    score: float | None = None
    evaluations: Mapping[str, Evaluation] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        evaluations = {name: each.to_dict() for name, each in self.evaluations.items()}
        return {
            "label": self.label,
            "shares": list(self.shares),
            "score": self.score,
            "evaluations": evaluations,
        }


@dataclass(frozen=True)
class Blend:
    """Averages of models, evaluated, and the chosen one.

    Attributes:
        names: The models, as they were requested.
        method: "interpolation", "uniform" or "greedy".
        points: The averages: by rising α, or the models themselves and then their soup.
        chosen: Index of the chosen one.
        choice: What it was chosen by (dataset, split, images, metric); None if there was no choice.
        batch_norm: How statistics of batch normalization are made; None if there are none.
        notes: What a reader of the results must know.
        model: The chosen average, in evaluation mode, with its card.
    """

    names: tuple[str, ...]
    method: str
    points: tuple[BlendPoint, ...]
    chosen: int
    choice: Mapping[str, Any] | None
    batch_norm: BatchNorm | None
    notes: tuple[str, ...]
    model: ExpressionModel

    @property
    def best(self) -> BlendPoint:
        """The chosen average."""
        return self.points[self.chosen]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON value."""
        return {
            "models": list(self.names),
            "method": self.method,
            "chosen": self.best.label,
            "shares": list(self.best.shares),
            "choice": None if self.choice is None else dict(self.choice),
            "batch_norm": self.batch_norm,
            "notes": list(self.notes),
            "points": [point.to_dict() for point in self.points],
        }

    def save(self, folder: str | Path) -> None:
        """Write the chosen average as an ordinary model folder.

        Raises:
            CheckpointError: The folder holds other files.
        """
        self.model.save_pretrained(folder)


def blend(
    models: Sequence[str | Path],
    on: Sequence[str | Target],
    *,
    alphas: str | Sequence[float] | None = None,
    soup: Soup | None = None,
    choose_on: str | Target | None = None,
    metric: Metric = "accuracy",
    batch_norm: BatchNorm = "interpolate",
    **options: Any,
) -> Blend:
    """Average the weights of saved models and evaluate the averages on several datasets.

    Args:
        models: Two models to interpolate, (1 − α) · first + α · second: for WiSE-FT the zero-shot
            and the fine-tuned one. With `soup`, two or more models of one architecture.
        on: Datasets, "NAME=DIR,split=val" or targets; the first one counts as home.
        alphas: "0:1:0.1" (the default), or numbers in [0, 1].
        soup: "uniform": the mean of all models. "greedy": models are added in the order of their
            score, each only if the score of the mean does not fall.
        choose_on: Images to choose α or the ingredients on; None for the first dataset. Without a
            split, they are its validation split, or what the run of the last model set aside.
        metric: What is chosen by: "accuracy", "uar" or "macro_f1".
        batch_norm: Statistics of batch normalization: "interpolate" averages them as the weights,
            "recompute" measures those of each average on the choosing images, without labels.
        **options: Fields of `EvaluationOptions`; the policy is "drop" by default.

    Returns:
        The averages with their metrics; `.save(folder)` writes the chosen model.

    Raises:
        ConfigError: An option is not valid, or there are no images to choose on.
        ModelError: The models cannot be averaged.
        DataError: A dataset cannot be read.

    Example:
        >>> result = blend(["runs/zero_shot", "runs/tuned"], ["ferplus=DIR", "rafdb=DIR"])
        >>> result.best.label, result.best.evaluations["rafdb test"].report.uar
    """
    _check_words(soup=(soup, Soup), metric=(metric, Metric), batch_norm=(batch_norm, BatchNorm))
    values = _read_alphas(alphas, soup, len(models))
    targets = [Target.parse(each) if isinstance(each, str) else each for each in on]
    if not targets:
        raise ConfigError("a blend needs at least one dataset to evaluate on")
    targets = disambiguate_targets(targets)
    settings = replace(EvaluationOptions(policy="drop"), **options)

    # everything is read and checked before the first average is computed
    ingredients = read_ingredients(models)
    norms = batch_norm if batch_norms(ingredients.model) else None
    chooses = soup == "greedy" or len(values) > 1
    choosing = None
    if chooses or norms == "recompute":
        choosing = ChoosingSplit.open(choose_on, targets[0], ingredients, settings, metric)
    images = {
        target.name: decode_for_model(ingredients.model, target.load(), quiet=settings.quiet)
        for target in targets
    }

    kitchen = _Kitchen(ingredients, images, choosing if chooses else None, settings, norms)
    if norms == "recompute" and choosing is not None:
        kitchen.statistics_images = choosing.images
    points, chosen = kitchen.make(values, soup)
    return _finish(kitchen, points, chosen, soup or "interpolation")


@dataclass
class _Kitchen:
    """Averages and evaluates."""

    ingredients: Ingredients
    images: Mapping[str, FaceTensors]
    choosing: ChoosingSplit | None
    settings: EvaluationOptions
    batch_norm: BatchNorm | None
    statistics_images: FaceTensors | None = None

    def make(self, alphas: Sequence[float], soup: Soup | None) -> tuple[list[BlendPoint], int]:
        """Evaluate all averages; return them and the index of the chosen one."""
        if soup is None:
            points = [self.point(f"{alpha:g}", (1 - alpha, alpha)) for alpha in alphas]
            scores = [point.score or 0.0 for point in points]
            return points, scores.index(max(scores))

        # the models themselves come first, then their mean
        count = len(self.ingredients.names)
        points = [
            self.point(self.ingredients.facts[i]["model"], _mean_of([i], count))
            for i in range(count)
        ]
        members = list(range(count)) if soup == "uniform" else self.greedy(points)
        points.append(self.point(f"{soup} soup", _mean_of(members, count)))
        return points, count

    def greedy(self, points: Sequence[BlendPoint]) -> list[int]:
        """Indices of the models of a greedy soup."""
        scores = [point.score or 0.0 for point in points]
        order = sorted(range(len(points)), key=lambda i: -scores[i])
        members, best = [order[0]], scores[order[0]]
        for i in order[1:]:
            score = self.score([*members, i])
            if score >= best:
                members, best = [*members, i], score
        return members

    def score(self, members: Sequence[int]) -> float:
        """Score of the mean of some models."""
        self.set(_mean_of(members, len(self.ingredients.names)))
        assert self.choosing is not None
        return self.choosing.score(self.ingredients.model)

    def point(self, label: str, shares: tuple[float, ...]) -> BlendPoint:
        """Evaluate one average on all datasets."""
        self.set(shares)
        model = self.ingredients.model
        score = None if self.choosing is None else self.choosing.score(model)
        evaluations = {}
        for name, images in self.images.items():
            merge = applicable_merges(self.settings.merge or {}, images.split, model)
            evaluations[name] = evaluate_model(model, images, replace(self.settings, merge=merge))
        return BlendPoint(label, shares, score, evaluations)

    def set(self, shares: tuple[float, ...]) -> None:
        """Give the model an average of the tensors; a model alone stays as it was saved."""
        model = self.ingredients.model
        model.load_state_dict(average_states(self.ingredients.states, shares))
        if self.statistics_images is not None and max(shares) < 1:
            recompute_statistics(model, self.statistics_images)
        model.eval()


def _finish(kitchen: _Kitchen, points: list[BlendPoint], chosen: int, method: str) -> Blend:
    """Leave the chosen average in the model, with a card that says how it was made."""
    kitchen.set(points[chosen].shares)
    choosing, notes = kitchen.choosing, []
    choice = None if choosing is None else choosing.facts()

    # what a reader of the card should know
    if choosing is not None:
        notes += choosing.notes(kitchen.images)
    if kitchen.batch_norm == "interpolate":
        notes.append("statistics of batch normalization are averaged as the weights")
    elif kitchen.batch_norm == "recompute":
        notes.append(
            "statistics of batch normalization are measured on the choosing images, without labels"
        )

    ingredients = kitchen.ingredients
    model = ingredients.model.cpu()
    model.provenance = {}
    model.card = blended_card(
        ingredients.cards,
        {
            "method": method,
            "models": [
                {**facts, "share": share}
                for facts, share in zip(ingredients.facts, points[chosen].shares, strict=True)
            ],
            "choice": choice and {**choice, "score": points[chosen].score},
            "batch_norm": kitchen.batch_norm,
        },
        [each.to_dict() for each in points[chosen].evaluations.values()],
        notes,
    )
    return Blend(
        ingredients.names,
        method,
        tuple(points),
        chosen,
        choice,
        kitchen.batch_norm,
        tuple(notes),
        model,
    )


def _mean_of(members: Sequence[int], count: int) -> tuple[float, ...]:
    """Equal shares of some of the models."""
    return tuple(1 / len(members) if i in members else 0.0 for i in range(count))


def _read_alphas(
    alphas: str | Sequence[float] | None, soup: Soup | None, count: int
) -> tuple[float, ...]:
    """The values of α; none for a soup."""
    if soup is not None:
        if alphas is not None:
            raise ConfigError("a soup has no alpha", hint="Leave out alpha, or the soup.")
        return ()
    if count > 2:
        raise ModelError(
            "two models are interpolated",
            expected="2 models, or a soup of several",
            found=count,
            hint="For the mean of all of them: --soup uniform.",
        )
    if alphas is None or isinstance(alphas, str):
        return parse_alphas(alphas or DEFAULT_ALPHAS)
    return check_alphas(list(alphas))


def _check_words(**words: tuple[Any, Any]) -> None:
    for name, (value, kind) in words.items():
        if value is not None and value not in get_args(kind):
            raise ConfigError(
                f"unknown {name} {value!r}", expected=f"one of {', '.join(get_args(kind))}"
            )
