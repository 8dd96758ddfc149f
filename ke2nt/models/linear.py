"""The baseline: the same image encoder with a learned linear head and no text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import LabelError, ModelError
from ke2nt.models.base import ExpressionModel
from ke2nt.models.encoder_options import EncoderOptions
from ke2nt.models.output import KE2NTOutput
from ke2nt.models.stage_options import StageOptions
from ke2nt.models.timm_models import Stem

__all__ = ["LinearClassifier"]


class LinearClassifier(ExpressionModel):
    """Image encoder → Linear(width, K), trained with cross-entropy.

    With attention heads, each stage of the encoder has its own linear layer, and the model's logits
    are the weighted sum of theirs, or the logarithm of the weighted sum of their probabilities.

    Args:
        classes: Class names in index order.
        backbone: Image encoder: timm name or alias, a vision-language model such as
            "open_clip:ViT-B-16/openai", the dotted path of a class or factory, or a module; see
            `create_backbone`. A model built with a module cannot be saved.
        image_size: Side of the square input in pixels; None for 112, or that of an image tower.
        stem: First layers of the encoder, see `create_backbone`.
        drop_path: Rate of stochastic depth, None for the encoder's default.
        backbone_options: Further arguments of the encoder, plain JSON values.
        dropout: Probability of dropping a pooled feature in training.
        attention: Options of heads with attention on several stages, see `StageOptions`; None for
            one head.
        tower: What a saved model stored of its image tower, see `create_backbone`.
        weights: Initial weights of the encoder: None, "timm", "imagenet" or a local file.
        min_match: How much of the encoder a local file must fill, see `load_initial_weights`.
        preprocessing: From pixels to the input; None for the usual mean and standard deviation.

    Raises:
        LabelError: Class names are missing or repeated.
        ModelError: The model cannot be built from these options.
        CheckpointError: Initial weights are not available or do not fit.
    """

    head = "linear"

    def __init__(
        self,
        classes: Sequence[str],
        backbone: str | nn.Module = "resnet18",
        image_size: int | None = None,
        *,
        stem: Stem = "standard",
        drop_path: float | None = None,
        backbone_options: Mapping[str, Any] | None = None,
        dropout: float = 0.0,
        attention: Mapping[str, Any] | None = None,
        tower: Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        min_match: float | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        if not classes or len(set(classes)) < len(classes):
            raise LabelError(
                "class names are missing or repeated",
                expected="distinct names",
                found=list(classes),
            )
        options = EncoderOptions(
            backbone=backbone,
            image_size=image_size,
            stem=stem,
            drop_path=drop_path,
            backbone_options=backbone_options or {},
            dropout=dropout,
            attention=None if attention is None else StageOptions.from_dict(attention),
            tower=tower,
        )
        if options.attention is not None and options.attention.average == "directions":
            raise ModelError(
                "a linear head has no directions to average",
                expected="model.attention.average logits or probabilities",
                found="directions",
            )
        super().__init__(options, weights=weights, preprocessing=preprocessing)

        # one classifier for each stage; the last one is that of a plain model
        self._classes = tuple(classes)
        *side, last = (nn.Linear(width, len(self._classes)) for width in self.stage_widths)
        self.side_classifiers = nn.ModuleList(side)
        self.classifier = last
        self.start_from_file(weights, min_match=min_match)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self._classes

    @property
    def bank(self) -> None:
        """None: there is no text."""
        return None

    @classmethod
    def from_architecture(
        cls,
        architecture: Mapping[str, Any],
        *,
        classes: tuple[str, ...],
        bank: object = None,
        weights: str | Path | None = None,
        min_match: float | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> Self:
        """Build a model from the keys of `architecture` other than "head"; a bank is not used."""
        return cls(
            classes,
            **architecture,
            weights=weights,
            min_match=min_match,
            preprocessing=preprocessing,
        )

    def forward(self, images: Tensor) -> KE2NTOutput:
        """Compute logits and pooled features of a batch.

        Args:
            images: (B, 3, image_size, image_size), floating, normalized by `preprocessing`.

        Returns:
            logits (B, K) and embeddings (B, width) of the last stage, float32 under autocast too;
            no neutral embeddings. With attention heads also `stages` and `attention`.

        Raises:
            ModelError: The images have another shape or dtype.
        """
        pooled, attention = self.stage_features(images)
        classifiers = (*self.side_classifiers, self.classifier)

        with torch.autocast(images.device.type, enabled=False):
            # (B, K) logits of each stage
            stages = []
            for classify, features in zip(classifiers, pooled, strict=True):
                features = features.to(self.classifier.weight.dtype)
                logits = classify(self.dropout(features))
                wide = torch.promote_types(logits.dtype, torch.float32)
                stages.append(KE2NTOutput(logits.to(wide), features))
            if self.fusion is None:
                return stages[0]

            # (B, K) weighted sum over the stages
            fused = self.fusion.fuse_logits([stage.logits for stage in stages])
            return KE2NTOutput(
                fused, stages[-1].embeddings, stages=tuple(stages), attention=attention
            )
