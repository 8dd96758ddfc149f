"""The game of generator and critics: the losses of both sides on one batch of real faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.config.gan import GanConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.generation.losses.adversary import ADVERSARIES
from ke2nt.generation.losses.code_adversarial import code_critic_loss, encoder_loss, untold_loss
from ke2nt.generation.losses.identity import identity_loss
from ke2nt.generation.networks.critics import CodeCritic, ExpressionNet, ImageCritic
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.random_draws import Draws

__all__ = ["Critics", "Game", "frozen", "make_critics"]

Parts = dict[str, Tensor]


class Critics(nn.Module):
    """All critics.

    Args:
        image: Judges whether faces look real, and names their expressions.
        code: Judges identity codes.
        expression: Names expressions in place of the image critic, or None.
    """

    def __init__(
        self, image: ImageCritic, code: CodeCritic, expression: ExpressionNet | None
    ) -> None:
        super().__init__()
        self.image = image
        self.code = code
        self.expression = expression


def make_critics(config: GanConfig, generator: FaceGenerator) -> Critics:
    """The critics that a configuration asks for, for the images of a generator."""
    network, kind = config.network, ADVERSARIES[config.loss.adversary](config.loss.penalty)
    width, classes = network.critic_width, len(generator.classes)
    sizes = (generator.channels, generator.image_size, width, classes)
    return Critics(
        ImageCritic(*sizes, spectral_norm=kind.spectral_norm),
        CodeCritic(generator.code_dim, classes),
        ExpressionNet(*sizes) if network.expression == "own" else None,
    )


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """What is computed inside gives no gradient to these modules' parameters; it passes through."""
    before = [(p, p.requires_grad) for module in modules for p in module.parameters()]
    for parameter, _ in before:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, needs in before:
            parameter.requires_grad_(needs)


class Game:
    """FESGAN's losses (https://arxiv.org/abs/2002.02194); each term's weight is in the config.

    Args:
        config: Kind of the game and weights.
        generator: Makes faces.
        critics: Judge them.
        identity: (B, C, S, S) → (B, D), a frozen space in which a person's faces are near each
            other; None: the generator's own codes.

    Attributes:
        expression_strength: Factor of the generator's expression term, in [0, 1]; set as scheduled.
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
        self.expression_strength = 1.0
        self._augment = BatchAugmentation(config.critic_augment)
        augment = config.critic_augment.model_dump()
        self._augments = any(augment[name] for name in augment if name not in _NO_CHANGE)

    def critic_loss(self, real: Tensor, labels: Tensor, draws: Draws) -> tuple[Tensor, Parts]:
        """What the critics minimize; the generator gets no gradient.

        Args:
            real: (B, C, S, S) faces in [−1, 1].
            labels: (B,) their expressions.
            draws: Of B rows; half of the synthetic faces are edits, half new identities.

        Returns:
            The scalar, and parts for the log, detached.
        """
        half = len(real) // 2
        with torch.no_grad():
            encoded = self.generator.encode(real)
            codes = torch.cat([encoded[:half], draws.codes[half:]])
            wanted = torch.cat([draws.edits[:half], draws.expressions[half:]])
            fake = self.generator.decode(codes, wanted)
        seen_real, seen_fake = self._seen(real, draws), self._seen(fake, draws)
        verdict = self.critics.image(torch.cat([seen_real, seen_fake]))
        scores, fake_scores = verdict.scores.split([len(real), len(fake)])
        adversarial = self.adversary.critic(scores, fake_scores)
        penalty = self.adversary.penalty(
            lambda images: self.critics.image(images).scores, seen_real, seen_fake, draws.generator
        )
        named = verdict.expressions[: len(real)]
        if self.critics.expression is not None:
            named = self.critics.expression(seen_real)
        expression = functional.cross_entropy(named, labels)
        told = self.critics.code(encoded)
        code = code_critic_loss(self.critics.code(draws.codes).scores, told.scores)
        told_expression = functional.cross_entropy(told.expressions, labels)
        w = self.weights
        total = w.adversarial * (adversarial + penalty) + w.expression * expression
        total = total + w.code * code + w.code_expression * told_expression
        parts = {
            "critic": adversarial,
            "penalty": penalty,
            "gap": scores.mean() - fake_scores.mean(),
            "critic_expression": expression,
            "critic_code": code,
            "critic_code_expression": told_expression,
        }
        return total, {name: part.detach() for name, part in parts.items()}

    def generator_loss(self, real: Tensor, labels: Tensor, draws: Draws) -> tuple[Tensor, Parts]:
        """What the generator minimizes; the critics get no gradient.

        The expression asked of an edit is the one that it is edited to, not the source's.
        Arguments and result as of `critic_loss`.
        """
        count = len(real)
        codes = self.generator.encode(real)
        faces = self.generator.decode(
            torch.cat([codes, codes, draws.codes]),
            torch.cat([labels, draws.edits, draws.expressions]),
        )
        own, edits, _ = faces.split(count)
        wanted = torch.cat([draws.edits, draws.expressions])
        with frozen(self.critics):
            seen = self._seen(faces[count:], draws)
            verdict, told = self.critics.image(seen), self.critics.code(codes)
            named = verdict.expressions
            if self.critics.expression is not None:
                named = self.critics.expression.eval()(seen)
                self.critics.expression.train()
        parts = {
            "adversarial": self.adversary.generator(verdict.scores),
            "code": encoder_loss(told.scores),
            "code_expression": untold_loss(told.expressions),
            "reconstruction": (own - real).abs().mean(),
            "identity": self._identity(real, codes, edits),
            "expression": functional.cross_entropy(named, wanted),
        }
        total = real.new_zeros(())
        for name, part in parts.items():
            strength = self.expression_strength if name == "expression" else 1.0
            total = total + strength * getattr(self.weights, name) * part
        return total, {name: part.detach() for name, part in parts.items()}

    def _identity(self, real: Tensor, codes: Tensor, edits: Tensor) -> Tensor:
        if not self.weights.identity:
            return real.new_zeros(())
        if self.identity is None:
            with frozen(self.generator.encoder):
                return identity_loss(codes, self.generator.encode(edits))
        return identity_loss(self.identity(real), self.identity(edits))

    def _seen(self, images: Tensor, draws: Draws) -> Tensor:
        """Images as the critic gets to see them."""
        if not self._augments:
            return images
        pixels = self._augment((images + 1.0) * 127.5, draws.generator)
        return pixels / 127.5 - 1.0


_NO_CHANGE = ("crop_padding", "erase_area", "fill")  # how, not how much
