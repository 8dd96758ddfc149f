"""The images that an average of models is chosen on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from ke2nt.blending.ingredients import Ingredients
from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.errors import ConfigError, DataError
from ke2nt.evaluation.cross_dataset import applicable_merges
from ke2nt.evaluation.evaluate_model import EvaluationOptions, decode_for_model, evaluate_model
from ke2nt.evaluation.targets import Target
from ke2nt.models.base import ExpressionModel
from ke2nt.training.seen_images import load_split_of_run

__all__ = ["ChoosingSplit"]


@dataclass(frozen=True)
class ChoosingSplit:
    """Images to choose on, decoded, and the metric that decides.

    Attributes:
        images: The images.
        metric: "accuracy", "uar" or "macro_f1".
        settings: How predictions are computed and scored.
    """

    images: FaceTensors
    metric: str
    settings: EvaluationOptions

    @classmethod
    def open(
        cls,
        requested: str | Target | None,
        first: Target,
        ingredients: Ingredients,
        settings: EvaluationOptions,
        metric: str,
    ) -> Self:
        """Read the images: a validation split, or the split that `requested` names.

        Args:
            requested: The images to choose on; None for those of `first`. Without a split, they are
                the validation split, or what the run of the last model set aside.
            first: The first dataset to evaluate on.
            ingredients: The models.
            settings: How to evaluate.
            metric: What decides.

        Raises:
            ConfigError: The dataset has no validation split.
        """
        target = Target.parse(requested) if isinstance(requested, str) else requested
        if target is not None and target.split is not None:
            split = target.load()
        else:
            # the split to evaluate on says nothing about the one to choose on
            split = _validation_split(target or first, ingredients.names[-1])

        images = decode_for_model(ingredients.model, split, quiet=settings.quiet)
        return cls(images, metric, replace(settings, bootstrap=0))

    def score(self, model: ExpressionModel) -> float:
        """Value of the metric, higher is better."""
        merge = applicable_merges(self.settings.merge or {}, self.images.split, model)
        evaluation = evaluate_model(model, self.images, replace(self.settings, merge=merge))
        return float(getattr(evaluation.report, self.metric))

    def facts(self) -> dict[str, Any]:
        """Plain JSON value: what the choice was made by."""
        split = self.images.split
        return {
            "dataset": split.dataset,
            "split": split.split,
            "images": len(split),
            "metric": self.metric,
        }

    def notes(self, evaluated: Mapping[str, FaceTensors]) -> list[str]:
        """What makes metrics optimistic."""
        split = self.images.split
        if split.split == "test":
            return [
                "OPTIMISTIC PROTOCOL: the average was chosen on the test split of "
                f"{split.dataset}; its metrics are too high"
            ]
        # a part of a dataset in another folder may have the name of its split
        names = {sample.name for sample in split.samples}
        same = [
            name
            for name, images in evaluated.items()
            if (images.split.dataset, images.split.split) == (split.dataset, split.split)
            and not names.isdisjoint(sample.name for sample in images.split.samples)
        ]
        return [f"the average was chosen on {name}; its metrics are optimistic" for name in same]


def _validation_split(target: Target, model: str) -> FaceSplit:
    """The validation split of a dataset, or what the run of a model set aside of it.

    Images that a model was trained on would choose that model.

    Raises:
        ConfigError: There is neither.
    """
    reader = target.open_reader()
    try:
        split = load_split_of_run(model, reader, "val")
    except DataError as error:
        if "val" in reader.splits:
            raise
        raise ConfigError(
            f"{target.dataset} has no validation split to choose on",
            expected="images to choose on, which are not those of the evaluation",
            found=f"splits {', '.join(reader.splits)}",
            hint="Name them: --choose-on NAME=DIR,split=…; or one value: --alpha 0.5.",
        ) from error
    return split.spread(target.limit)
