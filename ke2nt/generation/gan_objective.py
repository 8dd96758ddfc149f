"""The GAN objective: the losses of critics and generator on one batch of real faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.config.gan import GanConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.generation.gan_draws import GanDraws
from ke2nt.generation.losses.adversaries import ADVERSARIES
from ke2nt.generation.losses.code_adversarial import (
    code_critic_loss,
    confusion_loss,
    encoder_loss,
)
from ke2nt.generation.losses.identity import identity_loss
from ke2nt.generation.networks.critics import CriticOutput, Critics
from ke2nt.generation.networks.generator import FaceGenerator

__all__ = ["GanObjective", "frozen"]

Parts = dict[str, Tensor]

_SECONDARY_AUGMENTATION_KEYS = ("crop_padding", "erase_area", "fill")  # change nothing alone


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Compute without gradients for the modules' parameters; gradients still pass through."""
    # restore each parameter as it was, frozen ones included
    before = [(p, p.requires_grad) for module in modules for p in module.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, requires_grad in before:
            parameter.requires_grad_(requires_grad)


class GanObjective:
    """FESGAN's losses (https://arxiv.org/abs/2002.02194), weighted as configured.

    Args:
        config: Adversarial loss and weights.
        generator: The generator.
        critics: Its critics.
        identity: (B, C, S, S) → (B, D), a frozen space in which faces of one person are close
            together; None uses the generator's latent codes.
    """

    def __init__(
        self,
        config: GanConfig,
        generator: FaceGenerator,
        critics: Critics,
        identity: Callable[[Tensor], Tensor] | None,
    ) -> None:
        self.weights = config.loss
        self.adversary = ADVERSARIES[config.loss.adversary](config.loss.penalty)
        self.generator = generator
        self.critics = critics
        self.identity = identity

        # without any change configured, the conversion to pixels and back is skipped
        gray = (127.5,) * generator.channels
        self._augment = BatchAugmentation(config.critic_augment, erase_value=gray)
        values = config.critic_augment.model_dump()
        self._augments = any(
            values[name] for name in values if name not in _SECONDARY_AUGMENTATION_KEYS
        )

    def critic_loss(self, real: Tensor, labels: Tensor, draws: GanDraws) -> tuple[Tensor, Parts]:
        """Compute the loss of the critics; the generator gets no gradient.

        Args:
            real: (B, C, S, S) faces in [−1, 1].
            labels: (B,) their expressions.
            draws: Random numbers for B images. Half of the synthetic faces are edits, half new
                identities.

        Returns:
            The scalar to minimize, and its terms for the log, detached.
        """
        codes, fake = self._generate_for_critics(real, draws)
        real_view, fake_view = self._augment_view(real, draws), self._augment_view(fake, draws)

        # one forward pass of the image critic for real and synthetic faces
        output = self.critics.image(torch.cat([real_view, fake_view]))
        real_scores, fake_scores = output.scores.split([len(real), len(fake)])
        adversarial = self.adversary.critic(real_scores, fake_scores)
        penalty = self.adversary.penalty(
            lambda images: self.critics.image(images).scores, real_view, fake_view, draws.generator
        )

        # expressions are learned from real faces alone
        logits = output.expressions[: len(real)]
        if self.critics.expression is not None:
            logits = self.critics.expression(real_view)
        expression = functional.cross_entropy(logits, labels)

        # the code critic compares encoded codes with codes from the prior
        encoded = self.critics.code(codes)
        code = code_critic_loss(self.critics.code(draws.codes).scores, encoded.scores)
        code_expression = functional.cross_entropy(encoded.expressions, labels)

        w = self.weights
        total = w.adversarial * (adversarial + penalty) + w.expression * expression
        total = total + w.code * code + w.code_expression * code_expression
        parts = {
            "critic": adversarial,
            "penalty": penalty,
            "gap": real_scores.mean() - fake_scores.mean(),
            "critic_expression": expression,
            "critic_code": code,
            "critic_code_expression": code_expression,
        }
        return total, {name: part.detach() for name, part in parts.items()}

    def generator_loss(
        self,
        real: Tensor,
        labels: Tensor,
        draws: GanDraws,
        *,
        expression_strength: float = 1.0,
    ) -> tuple[Tensor, Parts]:
        """Compute the loss of the generator; the critics get no gradient.

        The requested expression of an edit is the one it is edited to, not that of the source.

        Args:
            real: (B, C, S, S) faces in [−1, 1].
            labels: (B,) their expressions.
            draws: Random numbers for B images.
            expression_strength: Factor of the expression term, in [0, 1].

        Returns:
            The scalar to minimize, and its terms for the log, detached.
        """
        # reconstructions, edits and new identities in one forward pass of the decoder
        count = len(real)
        codes = self.generator.encode(real)
        faces = self.generator.decode(
            torch.cat([codes, codes, draws.codes]),
            torch.cat([labels, draws.edit_expressions, draws.new_expressions]),
        )
        reconstructions, edits, _ = faces.split(count)
        scores, code_output, logits = self._criticize(faces[count:], codes, draws)

        requested = torch.cat([draws.edit_expressions, draws.new_expressions])
        parts = {
            "adversarial": self.adversary.generator(scores),
            "code": encoder_loss(code_output.scores),
            "code_expression": confusion_loss(code_output.expressions),
            "reconstruction": (reconstructions - real).abs().mean(),
            "identity": self._identity_loss(real, codes, edits),
            "expression": functional.cross_entropy(logits, requested),
        }

        # the names of the terms are those of their weights
        total = real.new_zeros(())
        for name, part in parts.items():
            strength = expression_strength if name == "expression" else 1.0
            total = total + strength * getattr(self.weights, name) * part
        return total, {name: part.detach() for name, part in parts.items()}

    @torch.no_grad()
    def _generate_for_critics(self, real: Tensor, draws: GanDraws) -> tuple[Tensor, Tensor]:
        """Encode the real faces, and generate B faces: edits, then new identities."""
        half = len(real) // 2
        encoded = self.generator.encode(real)
        codes = torch.cat([encoded[:half], draws.codes[half:]])
        expressions = torch.cat([draws.edit_expressions[:half], draws.new_expressions[half:]])
        return encoded, self.generator.decode(codes, expressions)

    def _criticize(
        self, faces: Tensor, codes: Tensor, draws: GanDraws
    ) -> tuple[Tensor, CriticOutput, Tensor]:
        """Return image scores, output for the codes, and expression logits from frozen critics."""
        with frozen(self.critics):
            view = self._augment_view(faces, draws)
            output, code_output = self.critics.image(view), self.critics.code(codes)
            logits = output.expressions

            # its statistics are those of real faces, so it stays in evaluation mode here
            if self.critics.expression is not None:
                logits = self.critics.expression.eval()(view)
                self.critics.expression.train()
        return output.scores, code_output, logits

    def _identity_loss(self, real: Tensor, codes: Tensor, edits: Tensor) -> Tensor:
        if not self.weights.identity:
            return real.new_zeros(())
        if self.identity is not None:
            return identity_loss(self.identity(real), self.identity(edits))

        # as identity space, the encoder must not learn to make the loss small
        with frozen(self.generator.encoder):
            return identity_loss(codes, self.generator.encode(edits))

    def _augment_view(self, images: Tensor, draws: GanDraws) -> Tensor:
        """Augment images, real or synthetic, before a critic sees them."""
        if not self._augments:
            return images
        pixels = self._augment((images + 1.0) * 127.5, draws.generator)
        return pixels / 127.5 - 1.0
