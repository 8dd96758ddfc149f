"""KE2NT: an image encoder whose embeddings are matched with text embeddings of the classes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.card_facts import without_measurements
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.errors import ModelError
from ke2nt.models.adapters import Adapter, build_adapter
from ke2nt.models.base import ExpressionModel
from ke2nt.models.encoder_options import EncoderOptions
from ke2nt.models.neck import Projection, build_projection, check_projection
from ke2nt.models.output import KE2NTOutput
from ke2nt.models.stage_options import StageOptions
from ke2nt.models.stages import StageMaps
from ke2nt.models.timm_models import Stem
from ke2nt.models.tower_backbones import find_vision_language_model, load_tower
from ke2nt.models.transformation import TransformationNetwork
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.l2_normalize import l2_normalize

__all__ = ["KE2NT"]


class KE2NT(ExpressionModel):
    """Recognizer of KE2NT (https://arxiv.org/abs/2409.08598).

    f_e = projection(backbone(x)), f_n = M(f_e), logits_k = s · cos(f_e, t_k). The text embeddings
    are frozen and not part of the state dict. Projection, M and logits are computed in float32
    under autocast too: in bfloat16 a cosine times 100 is off by tenths.

    With attention heads, each stage i of the encoder has its own projection to the text space,
    f_i = projection_i(pooled_i); text embeddings, s and M are shared. The model's embedding is the
    weighted sum of the stages' directions, f_e = Σ_i w_i f_i / ‖f_i‖, so that its cosine with t_k
    ranks the classes as the weighted sum of the stages' cosines does. With
    `attention={"average": "probabilities"}` (or "logits") the fused logits average those of the
    stages instead.

    Args:
        bank: Text embeddings (K, D) of the classes.
        backbone: Image encoder: timm name or alias, a vision-language model such as
            "open_clip:ViT-B-16/openai", the dotted path of a class or factory, or a module; see
            `create_backbone`. A model built with a module cannot be saved.
        image_size: Side of the square input in pixels; None for 112, or that of an image tower.
        stem: First layers of the encoder, see `create_backbone`.
        drop_path: Rate of stochastic depth, None for the encoder's default.
        backbone_options: Further arguments of the encoder, plain JSON values.
        projection: From features to the text space: "linear"; "neck" as published: Linear,
            BatchNorm, Linear, BatchNorm; or "none". "auto": none where the backbone and the text
            are of one vision-language model, else linear.
        reduction: Width of M is D / reduction; 4 as published.
        logit_scale: s > 0; None for the bank's.
        learn_logit_scale: Learn log s from there, unbounded.
        learned_logit_bias: b from which the bias of the pairwise sigmoid is learned; None for a
            bias that is fixed, or not used.
        dropout: Probability of dropping a pooled feature in training.
        attention: Options of heads with attention on several stages, see `StageOptions`; None for
            one head.
        tower: What a saved model stored of its image tower, see `create_backbone`.
        weights: Initial weights of the encoder, and of a neck if the file has one: None, "timm",
            "imagenet" or a local file.
        min_match: How much of the encoder a local file must fill, see `load_initial_weights`.
        preprocessing: From pixels to the input; None for the usual mean and standard deviation.
        adapter: Options of a module that was fitted on few images and changes the embeddings or
            logits, see `ke2nt.models.adapters`; None for none.

    Raises:
        ModelError: The model cannot be built from these options.
        CheckpointError: Initial weights are not available or do not fit.

    Example:
        >>> model = KE2NT(bank, "resnet18", image_size=64, stem="small")
        >>> logits, f_e, f_n = model(images)
    """

    head = "text"
    text_embeddings: Tensor

    def __init__(
        self,
        bank: TextBank,
        backbone: str | nn.Module = "resnet18",
        image_size: int | None = None,
        *,
        stem: Stem = "standard",
        drop_path: float | None = None,
        backbone_options: Mapping[str, Any] | None = None,
        projection: Projection = "auto",
        reduction: int = 4,
        logit_scale: float | None = None,
        learn_logit_scale: bool = False,
        learned_logit_bias: float | None = None,
        dropout: float = 0.0,
        attention: Mapping[str, Any] | None = None,
        tower: Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        min_match: float | None = None,
        preprocessing: Preprocessing | None = None,
        adapter: Mapping[str, Any] | None = None,
    ) -> None:
        check_projection(projection)
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
        super().__init__(options, weights=weights, preprocessing=preprocessing)

        scale = bank.logit_scale if logit_scale is None else logit_scale
        if not 0 < scale < math.inf:
            raise ModelError("logit_scale is out of range", expected="above 0", found=scale)

        # one projection for each stage
        self.dim = dim = bank.dim
        projection = self._choose_projection(projection, bank)
        always = self.backbone.tower is not None
        *side, last = (
            build_projection(projection, width, dim, always=always) for width in self.stage_widths
        )
        self.side_projections = nn.ModuleList(side)
        self.projection = last
        self.transformation = TransformationNetwork(dim, reduction)

        # the logarithm keeps a learned scale positive
        self.log_logit_scale = (
            nn.Parameter(torch.tensor(math.log(scale))) if learn_logit_scale else None
        )
        self.logit_bias = (
            None if learned_logit_bias is None else nn.Parameter(torch.tensor(learned_logit_bias))
        )
        self._logit_scale, self._logit_bias = logit_scale, learned_logit_bias
        self._reduction = reduction
        self._projection = projection
        self.adapter: Adapter | None = None
        if adapter is not None:
            self.adapter = build_adapter(adapter, dim)
        self.set_bank(bank)
        neck = self.projection if projection == "neck" else None
        self.start_from_file(weights, min_match=min_match, neck=neck)

    @classmethod
    def from_vlm(
        cls,
        name: str,
        prompts: PromptSet | str | Path = "paper",
        classes: Sequence[str] | None = None,
        *,
        cache_dir: str | Path | None = None,
    ) -> Self:
        """Build a recognizer from a vision-language model and words alone, without training.

        It computes what `zero_shot` does. Its network M is untrained; only `neutral_embeddings`
        depend on it.

        Args:
            name: "open_clip:ARCH/TAG-or-path" or "transformers:ID-or-folder".
            prompts: A prompt set, the name of a shipped one, or a YAML file.
            classes: Classes of the set in the requested order, other words for its templates, or
                None for all of the set.
            cache_dir: Cache folder of text embeddings.

        Raises:
            PromptError: No such prompt set, or a prompt would be truncated.
            TextEncoderError: There is no such model, or its weights are not on this machine.
            ModelError: It has no image tower.

        Example:
            >>> model = KE2NT.from_vlm("open_clip:ViT-B-16/openai", "ensemble", ["happy", "calm"])
            >>> model.save_pretrained("clip-recognizer")
        """
        # words are checked before the model is loaded, which takes seconds
        prompt_set = prompts if isinstance(prompts, PromptSet) else PromptSet.load(prompts)
        chosen = tuple(prompt_set.classes if classes is None else classes)
        prompt_set = prompt_set.with_words(chosen)

        # loaded once for both of its sides
        encoder = find_vision_language_model(name)
        encoder.load(torch.device("cpu"))
        bank = TextBank.build(prompt_set, encoder, chosen, cache_dir)
        tower, facts = load_tower(encoder)

        # the same folder is written each time, and the caller's random numbers stay
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = cls(bank, facts.id, tower=facts.to_dict(), projection="none")
        model.backbone.net.load_state_dict(tower.state_dict())
        model.card = {
            "zero_shot": {"encoder": facts.id, "sha256": facts.weights, "prompts": prompt_set.name}
        }
        return model.eval()

    def _choose_projection(self, projection: Projection, bank: TextBank) -> Projection:
        """Resolve "auto": the tower's own projection leads to the text space of its own text."""
        tower = self.backbone.tower
        if projection != "auto":
            return projection
        # attention heads read feature maps, which come before that projection
        if tower is None or isinstance(self.backbone, StageMaps):
            return "linear"
        facts = bank.provenance.get("of") or bank.provenance
        return "none" if facts.get("weights") == tower.weights else "linear"

    def set_bank(self, bank: TextBank) -> None:
        """Recognize other classes from now on, without training.

        A logit scale that was neither given nor learned follows the bank. Of a calibration, a
        temperature stays, flagged as transferred; vector scaling is dropped, and so are the
        metrics on the model card.

        Args:
            bank: Text embeddings of the new classes, of the same encoder.

        Raises:
            ModelError: The new embeddings have another width.
        """
        if bank.dim != self.dim:
            raise ModelError(
                "the text embeddings have another width",
                expected=f"{self.dim}, as the model was built with",
                found=bank.dim,
                hint="Build the bank with the text encoder that the model was trained with.",
            )
        if self.adapter is not None:
            self.adapter.use_classes(bank.classes)
        text = bank.embeddings.detach().to(self.transformation.down.weight, copy=True)

        # calibration and metrics were measured with the old texts
        previous = getattr(self, "text_embeddings", None)
        if previous is not None and not torch.equal(text, previous):
            self.calibration = self.calibration and self.calibration.for_other_texts()
            self.card = without_measurements(self.card)

        self.register_buffer("text_embeddings", text, persistent=False)
        self._bank = bank

    def set_adapter(self, adapter: Adapter | None) -> None:
        """Recognize through a module that was fitted on the model's embeddings.

        What was measured without it is dropped: calibration, familiarity, intensity scale and
        metrics.

        Args:
            adapter: The module; None to remove the present one.

        Raises:
            ModelError: It does not know the model's classes.
        """
        if adapter is not None:
            adapter.use_classes(self.classes)
        self.adapter = adapter
        self.calibration = self.familiarity = None
        self.card = without_measurements(self.card)

    @property
    def bank(self) -> TextBank:
        """Text embeddings of the classes, on the model's device."""
        # moved on first use, as `model.to` moves only parameters and buffers
        if self._bank.raw.device != self.text_embeddings.device:
            self._bank = self._bank.to(self.text_embeddings.device)
        return self._bank

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self._bank.classes

    @property
    def logit_scale(self) -> Tensor | float:
        """s, the factor between cosines and logits."""
        if self.log_logit_scale is not None:
            return self.log_logit_scale.exp()
        return self._bank.logit_scale if self._logit_scale is None else self._logit_scale

    @property
    def architecture(self) -> dict[str, Any]:
        """Plain JSON value from which `ke2nt.models.build.build_model` builds the same model."""
        return {
            **super().architecture,
            "projection": self._projection,
            "reduction": self._reduction,
            "logit_scale": self._logit_scale,
            "learn_logit_scale": self.log_logit_scale is not None,
            **({} if self._logit_bias is None else {"learned_logit_bias": self._logit_bias}),
            **({} if self.adapter is None else {"adapter": self.adapter.options}),
        }

    @classmethod
    def from_architecture(
        cls,
        architecture: Mapping[str, Any],
        *,
        classes: tuple[str, ...],
        bank: TextBank | None,
        weights: str | Path | None = None,
        min_match: float | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> Self:
        """Build a model from the keys of `architecture` other than "head".

        Raises:
            ModelError: There is no bank.
        """
        if bank is None:
            raise ModelError("a text head needs a text bank", found="none")
        return cls(
            bank, **architecture, weights=weights, min_match=min_match, preprocessing=preprocessing
        )

    def forward(self, images: Tensor) -> KE2NTOutput:
        """Compute logits and both embeddings of a batch.

        Args:
            images: (B, 3, image_size, image_size), floating, normalized by `preprocessing`.

        Returns:
            logits (B, K) and embeddings (B, D), float32 under autocast too; with attention heads
            also `stages` and `attention`.

        Raises:
            ModelError: The images have another shape or dtype.
        """
        output = self._match(images)
        return output if self.adapter is None else self._adapt(output, self.adapter)

    def match(self, embeddings: Tensor) -> KE2NTOutput:
        """Compute logits of embeddings (B, D) that the model itself gave without an adapter.

        Heads of single stages have no part in it.
        """
        output = self._output_for(embeddings)
        return output if self.adapter is None else self._adapt(output, self.adapter)

    def _match(self, images: Tensor) -> KE2NTOutput:
        """The output without an adapter."""
        pooled, attention = self.stage_features(images)
        projections = (*self.side_projections, self.projection)

        with torch.autocast(images.device.type, enabled=False):
            # (B, D) embedding of each stage, in the dtype of the weights
            dtype = self.transformation.down.weight.dtype
            stages = [
                project(self.dropout(features).to(dtype))
                for project, features in zip(projections, pooled, strict=True)
            ]
            if self.fusion is None:
                return self._output_for(stages[0])

            # the mean of unit vectors ranks the classes as the mean of the cosines does
            directions = [l2_normalize(stage) for stage in stages]
            fused = self._output_for(self.fusion(directions))
            outputs = tuple(self._output_for(direction) for direction in directions)

            if self.fusion.average in ("logits", "probabilities"):
                logits = self.fusion.fuse_logits([stage.logits for stage in outputs])
                fused = fused.replace(logits=logits)
            return fused.replace(stages=outputs, attention=attention)

    def _output_for(self, expression: Tensor) -> KE2NTOutput:
        """Embeddings (B, D) with their logits and neutral embeddings."""
        wide = torch.promote_types(expression.dtype, torch.float32)
        # (B, K) cosine of every image with every class
        cosine = l2_normalize(expression.to(wide)) @ self.text_embeddings.to(wide).T
        neutral = self.transformation(expression)
        bias = self.logit_bias
        return KE2NTOutput(self.logit_scale * cosine, expression, neutral, logit_bias=bias)

    def _adapt(self, output: KE2NTOutput, adapter: Adapter) -> KE2NTOutput:
        """Replace logits and embeddings by those of an adapter, which takes unit embeddings."""
        with torch.autocast(output.embeddings.device.type, enabled=False):
            wide = torch.promote_types(output.embeddings.dtype, torch.float32)
            embeddings = output.embeddings.to(wide)
            adapted = adapter(
                l2_normalize(embeddings), self.text_embeddings.to(wide), self.logit_scale
            )
            if adapted.neutral_embeddings is not None:
                return output.replace(
                    logits=adapted.logits,
                    embeddings=adapted.embeddings,
                    neutral_embeddings=adapted.neutral_embeddings,
                )

            # M was trained on embeddings of the tower's norm
            scaled = adapted.embeddings * embeddings.norm(dim=-1, keepdim=True)
            neutral = self.transformation(scaled.to(self.transformation.down.weight.dtype))
            return output.replace(
                logits=adapted.logits, embeddings=scaled, neutral_embeddings=neutral
            )
