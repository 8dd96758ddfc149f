"""The typed configuration of FESGAN: synthesis, and recognition learned with it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ke2nt.config.schema import AugmentConfig, Beta, Section, TrainConfig

__all__ = [
    "CriticAugmentConfig",
    "FesganConfig",
    "GanConfig",
    "GanLossConfig",
    "GanOptimConfig",
    "GuardConfig",
    "JointConfig",
    "NetworkConfig",
    "SamplesConfig",
]


class NetworkConfig(Section):
    """Sizes of generator and critics."""

    code_dim: int = Field(64, ge=2, le=1024, description="Values of an identity code.")
    width: int = Field(32, ge=4, le=256, description="Channels of the generator's widest maps.")
    critic_width: int = Field(32, ge=4, le=256, description="Likewise of the image critic.")
    conditioning: Literal["concat", "film"] = Field(
        "film",
        description="The expression enters the decoder beside the code (published), or also as "
        "gain and bias of every layer.",
    )
    expression: Literal["head", "own"] = Field(
        "head", description="A head of the image critic (published), or a network of its own."
    )


class GanLossConfig(Section):
    """Kind of the game, and weights of its terms; the defaults are the paper's line."""

    adversary: Literal["wgan-gp", "hinge", "r1"] = Field(
        "wgan-gp",
        description="Wasserstein with gradient penalty, hinge with spectral normalization, or "
        "logistic with R1.",
    )
    penalty: float = Field(
        10.0, ge=0.0, description="Weight of the gradient penalty, or γ of R1; hinge has none."
    )
    adversarial: float = Field(1.0, ge=0.0)
    code: float = Field(1.0, ge=0.0, description="Code critic: codes like the uniform prior.")
    code_expression: float = Field(
        0.0, ge=0.0, description="Codes do not tell the expression: the decoder heeds the label."
    )
    reconstruction: float = Field(10.0, ge=0.0, description="L1 between a face and its own edit.")
    identity: float = Field(5.0, ge=0.0, description="L1 between features of a face and an edit.")
    expression: float = Field(1.0, ge=0.0, description="Expression head of the image critic.")
    expression_start: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the epochs before the generator heeds it; it then climbs as long.",
    )


class GanOptimConfig(Section):
    """Optimizer and schedule of the synthesis."""

    lr: float = Field(1e-4, gt=0.0, description="Adam, generator.")
    critic_lr: float = Field(1e-4, gt=0.0, description="Adam, critics.")
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    critic_steps: int = Field(4, ge=1, description="Steps of the critics per generator step.")
    decay_from: float = Field(
        0.7, ge=0.0, le=1.0, description="Share of the epochs after which rates fall to nothing."
    )
    batch_size: int = Field(64, ge=2)
    epochs: int = Field(100, ge=1)
    ema: float = Field(0.995, gt=0.0, lt=1.0, description="Decay of the generator's average.")
    not_finite: Literal["stop", "skip"] = Field(
        "stop", description="A loss that is not finite: stop with the batch saved, or skip it."
    )


class GuardConfig(Section):
    """When synthesis has gone wrong, and what then."""

    action: Literal["log", "stop", "rollback"] = Field(
        "stop", description="rollback: back to the checkpoint before, at half the learning rates."
    )
    min_diversity: float = Field(
        0.1,
        ge=0.0,
        description="Mode collapse: new faces of one expression differ by less than this share of "
        "what real faces differ by.",
    )
    max_gap: float = Field(
        500.0, gt=0.0, description="Divergence: critic's scores of real less synthetic, absolute."
    )
    patience: int = Field(3, ge=1, description="Epochs in a row before it is acted on.")
    grace: int = Field(3, ge=0, description="First epochs that are not judged.")
    max_rollbacks: int = Field(3, ge=0)


class SamplesConfig(Section):
    """Pictures that a run saves."""

    every: int = Field(10, ge=1, description="Epochs between two sets of pictures.")
    rows: int = Field(6, ge=2, le=64, description="Identities in a picture.")


class CriticAugmentConfig(AugmentConfig):
    """Random changes of all images that the critic sees, real or not; they help with few faces."""

    flip: float = Field(0.0, ge=0.0, le=1.0, description="Probability of a mirror image.")
    crop: float = Field(0.0, ge=0.0, le=1.0, description="Probability of a random crop.")
    translate: float = Field(0.1, ge=0.0, lt=1.0, description="Largest shift, share of the side.")
    erase: float = Field(0.0, ge=0.0, le=0.0, description="Not for the critic.")
    mixup: float = Field(0.0, ge=0.0, le=0.0, description="Not for the critic.")
    cutmix: float = Field(0.0, ge=0.0, le=0.0, description="Not for the critic.")
    fill: Literal["zeros", "border", "reflection"] = Field(
        "border", description="What lies outside the image after a geometric change."
    )


class GanConfig(Section):
    """Stage 1: the synthesis."""

    network: NetworkConfig = NetworkConfig()
    loss: GanLossConfig = GanLossConfig()
    optim: GanOptimConfig = GanOptimConfig()
    guard: GuardConfig = GuardConfig()
    samples: SamplesConfig = SamplesConfig()
    image_size: int | None = Field(
        None, ge=16, le=1024, multiple_of=16, description="Pixels; null takes model.image_size."
    )
    identity_space: str = Field(
        "ke2nt/ferplus-resnet18",
        description="Frozen recognizer whose features tell identities apart, a name or folder; or "
        "`code`: the generator's own identity codes, which need no labels.",
    )
    identity_stage: int = Field(2, ge=0, description="Stage of that recognizer's image encoder.")
    flip: bool = Field(True, description="Learn from mirror images, too.")
    critic_augment: CriticAugmentConfig = CriticAugmentConfig()
    min_images: int = Field(2, ge=1, description="Fewest images of a class.")


class JointConfig(Section):
    """Stage 2: the recognizer, learned with synthetic faces."""

    generator: str | None = Field(
        None, description="Folder of a pretraining run; null pretrains first, into OUT/synthesis."
    )
    frozen: bool = Field(False, description="The generator stays as it was pretrained.")
    share: float = Field(0.5, ge=0.0, le=4.0, description="Synthetic images per real one.")
    start: float = Field(0.1, ge=0.0, le=1.0, description="Share of the epochs without them.")
    ramp: float = Field(
        0.2, ge=0.0, le=1.0, description="Share of the epochs in which their weight climbs."
    )
    weight: float = Field(1.0, ge=0.0, description="Weight of the objective on synthetic images.")
    source: Literal["edits", "new", "both"] = Field(
        "both", description="Edits of the batch's faces, new identities, or half of each."
    )
    balance: Literal["uniform", "natural"] = Field(
        "uniform", description="Expressions of synthetic images: alike often, or as in the data."
    )
    min_confidence: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Synthetic images count if the recognizer gives their expression this much.",
    )
    intra_class: float = Field(0.1, ge=0.0, description="Weight of the intra-class loss.")
    rdbp: bool = Field(
        True, description="Real features guide: only the synthetic side is moved towards them."
    )
    consistency: float = Field(
        0.0,
        ge=0.0,
        description="Weight of: the neutral edit's embedding is the neutral embedding of the face.",
    )
    game: float = Field(1.0, ge=0.0, description="Weight of the synthesis' own losses.")
    every: int = Field(2, ge=1, description="Steps between two in which the generator learns.")
    lr: float = Field(5e-5, gt=0.0, description="Adam, generator and critics, at the peak.")


class FesganConfig(TrainConfig):
    """Both stages; the sections of `TrainConfig` are the recognizer's."""

    gan: GanConfig = GanConfig()
    joint: JointConfig = JointConfig()

    @model_validator(mode="after")
    def _size(self) -> FesganConfig:
        if self.gan_size % 16:
            raise ValueError("the size of synthetic faces, model.image_size, must be k · 16")
        return self

    @property
    def gan_size(self) -> int:
        """Side of the synthetic faces in pixels."""
        return self.gan.image_size or self.model.image_size

    @property
    def channels(self) -> int:
        """Of the synthetic faces: 1 where the recognizer takes color away first, else 3."""
        return 1 if self.model.gray else 3
