"""Loss terms of a recognizer on synthetic faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ke2nt.config.gan import JointConfig
from ke2nt.generation.gan_draws import GanDraws
from ke2nt.generation.losses.intra_class import intra_class_loss
from ke2nt.generation.losses.neutral_consistency import neutral_consistency_loss
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.pixels import resize, to_pixels
from ke2nt.losses.deep_supervision import DeepSupervisionLoss
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.base import ExpressionModel
from ke2nt.models.batch_norms import keep_statistics
from ke2nt.models.output import KE2NTOutput
from ke2nt.training.image_augmenter import ImageAugmenter

__all__ = ["SyntheticLosses"]

Forward = Callable[[Tensor], KE2NTOutput]
Terms = dict[str, tuple[float, Tensor]]
"""Name of a loss term → its weight and value."""


@dataclass(frozen=True)
class SyntheticLosses:
    """What a recognizer learns from synthetic faces, and teaches their generator.

    Attributes:
        config: Weights and kinds of synthetic faces.
        model: The recognizer.
        generator: The generator.
        loss: The recognizer's objective.
        augmenter: Augmentation and normalization, the same as for real faces.
    """

    config: JointConfig
    model: ExpressionModel
    generator: FaceGenerator
    loss: KE2NTLoss | DeepSupervisionLoss
    augmenter: ImageAugmenter

    def compute(
        self,
        real: KE2NTOutput,
        faces: Tensor,
        labels: Tensor,
        draws: GanDraws,
        forward: Forward,
        *,
        trains_generator: bool,
    ) -> Terms:
        """Compute weight and value of all terms in use.

        Args:
            real: The recognizer's output for the real faces of the batch.
            faces: (B, C, S, S) these faces as the generator's images, without augmentation.
            labels: (B,) their expressions.
            draws: Random numbers for at least as many images as are generated.
            forward: (N, 3, S, S) normalized images → the recognizer's output.
            trains_generator: Whether the generator gets a gradient.
        """
        terms: Terms = {}
        # faces for the recognizer, requested to have certain expressions
        count = round(self.config.share * len(faces))
        if count:
            synthetic, expressions = self._generate(faces, draws, count, trains_generator)
            output = self._predict(synthetic, draws, forward)
            terms |= self._recognition_terms(real, labels, output, expressions)

        # neutral edits of the batch's faces, not counted in `share`
        if self.config.consistency:
            edits = self._edit_to_neutral(faces, trains_generator)
            output = self._predict(edits, draws, forward)
            value = self._consistency(real, output, labels)
            terms["consistency"] = (self.config.consistency, value)
        return terms

    def _generate(
        self, faces: Tensor, draws: GanDraws, count: int, trains_generator: bool
    ) -> tuple[Tensor, Tensor]:
        """Generate faces (count, C, S, S) and return them with their requested expressions."""
        edits = {"edits": count, "new": 0, "both": count // 2}[self.config.source]
        # with more edits than faces, faces are edited several times
        rows = torch.arange(edits, device=faces.device) % len(faces)

        with torch.set_grad_enabled(trains_generator):
            codes = torch.cat([self.generator.encode(faces)[rows], draws.codes[edits:count]])
            expressions = torch.cat(
                [draws.edit_expressions[:edits], draws.new_expressions[edits:count]]
            )
            return self.generator.decode(codes, expressions), expressions

    def _edit_to_neutral(self, faces: Tensor, trains_generator: bool) -> Tensor:
        neutral = torch.full((len(faces),), self._neutral, device=faces.device)
        with torch.set_grad_enabled(trains_generator):
            return self.generator(faces, neutral)

    def _predict(self, synthetic: Tensor, draws: GanDraws, forward: Forward) -> KE2NTOutput:
        """Return the recognizer's output for synthetic faces, augmented like real ones.

        They do not change the batch statistics that are saved with the model.
        """
        # from [−1, 1] to the recognizer's pixels
        preprocessing = self.model.preprocessing
        pixels = to_pixels(resize(synthetic, preprocessing.image_size))
        pixels = self.augmenter.augment(pixels, draws.generator)

        # (N, 3, S, S); a gray recognizer's single channel is repeated
        images = preprocessing.normalize(pixels).expand(-1, 3, -1, -1)
        with keep_statistics(self.model):
            return forward(images.contiguous(memory_format=torch.channels_last))

    def _recognition_terms(
        self, real: KE2NTOutput, labels: Tensor, synthetic: KE2NTOutput, expressions: Tensor
    ) -> Terms:
        """Return weight and value of the objective and the intra-class loss."""
        terms: Terms = {}

        # (N,) probability of the requested expression
        probabilities = synthetic.logits.detach().softmax(dim=1)
        confidence = probabilities.gather(1, expressions[:, None]).squeeze(1)
        used = confidence >= self.config.min_confidence
        if used.any():
            confident = synthetic.map(lambda part: part[used])
            value, _ = self.loss(confident, expressions[used], self.model.bank)
            terms["synthetic"] = (self.config.weight, value)

        # the intra-class loss includes faces of low confidence
        if self.config.intra_class:
            value = intra_class_loss(
                real.embeddings,
                labels,
                synthetic.embeddings,
                expressions,
                rdbp=self.config.rdbp,
            )
            terms["intra_class"] = (self.config.intra_class, value)
        return terms

    def _consistency(self, real: KE2NTOutput, edits: KE2NTOutput, labels: Tensor) -> Tensor:
        """Compare the neutral edit of each face with its neutral embedding."""
        assert real.neutral_embeddings is not None
        return neutral_consistency_loss(
            edits.embeddings, real.neutral_embeddings, labels != self._neutral
        )

    @property
    def _neutral(self) -> int:
        return self.generator.classes.index("neutral")
