"""The typed configuration of FESGAN: GAN pretraining, and joint training with a recognizer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ke2nt.config.schema import AugmentConfig, Beta, TrainConfig
from ke2nt.config.section import FREE_ON_RESUME, MAY_MOVE, Section

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
    """Architecture of generator and critics."""

    code_dim: int = Field(64, ge=2, le=1024, description="Dimension of a latent code.")
    width: int = Field(32, ge=4, le=256, description="Channels of the generator's largest maps.")
    critic_width: int = Field(32, ge=4, le=256, description="The same for the image critic.")
    conditioning: Literal["concat", "film"] = Field(
        "film",
        description="concat: the expression enters the decoder beside the code (published). film: "
        "also as scale and shift of every layer.",
    )
    expression: Literal["head", "own"] = Field(
        "head",
        description="Classifier of expressions: a head of the image critic (published), or its "
        "own network.",
    )


class GanLossConfig(Section):
    """Adversarial loss and weights of all terms; the defaults are the published ones."""

    adversary: Literal["wgan-gp", "hinge", "r1"] = Field(
        "wgan-gp",
        description="Wasserstein loss with gradient penalty, hinge loss with spectral "
        "normalization, or logistic loss with R1.",
    )
    penalty: float = Field(
        10.0, ge=0.0, description="Weight of the gradient penalty, or γ of R1; unused by hinge."
    )
    adversarial: float = Field(1.0, ge=0.0, description="Weight of the adversarial loss.")
    code: float = Field(
        1.0, ge=0.0, description="Code critic: latent codes follow the uniform prior."
    )
    code_expression: float = Field(
        0.0,
        ge=0.0,
        description="Latent codes do not reveal the expression, so the decoder has to use the "
        "requested label.",
    )
    reconstruction: float = Field(
        10.0, ge=0.0, description="L1 between a face and its edit to the same expression."
    )
    identity: float = Field(5.0, ge=0.0, description="L1 between features of a face and an edit.")
    expression: float = Field(1.0, ge=0.0, description="Classification of the expression.")
    expression_start: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Share of the epochs before the generator is trained with the expression "
        "term; its weight then rises over the same number of epochs.",
    )


class GanOptimConfig(Section):
    """Optimizer and schedule of GAN training."""

    lr: float = Field(1e-4, gt=0.0, description="Learning rate of the generator (Adam).")
    critic_lr: float = Field(1e-4, gt=0.0, description="Learning rate of the critics (Adam).")
    betas: tuple[Beta, Beta] = (0.5, 0.999)
    critic_steps: int = Field(4, ge=1, description="Steps of the critics per generator step.")
    decay_from: float = Field(
        0.7, ge=0.0, le=1.0, description="Share of the epochs before the linear decay to 0."
    )
    batch_size: int = Field(64, ge=2, description="Images of a step.")
    epochs: int = Field(100, ge=1, description="Number of epochs.")
    ema: float = Field(0.995, gt=0.0, lt=1.0, description="Decay of the generator's average.")
    not_finite: Literal["stop", "skip"] = Field(
        "stop",
        description="If a loss is NaN or infinite: stop and save the batch, or skip it.",
        json_schema_extra=FREE_ON_RESUME,
    )


class GuardConfig(Section):
    """Detection of mode collapse and divergence, and the reaction to it."""

    action: Literal["log", "stop", "rollback"] = Field(
        "stop", description="rollback: continue from an earlier checkpoint at half the rates."
    )
    min_diversity: float = Field(
        0.1,
        ge=0.0,
        description="Mode collapse: synthetic faces of one expression differ by less than this "
        "share of the difference between real faces.",
    )
    max_gap: float = Field(
        500.0,
        gt=0.0,
        description="Divergence: absolute difference of critic scores of real and synthetic faces.",
    )
    patience: int = Field(3, ge=1, description="Bad epochs in a row before the reaction.")
    grace: int = Field(3, ge=0, description="First epochs that are not checked.")
    max_rollbacks: int = Field(3, ge=0, description="Maximum number of rollbacks.")


class SamplesConfig(Section):
    """Image grids that a run saves."""

    every: int = Field(10, ge=1, description="Epochs between two sets of grids.")
    rows: int = Field(6, ge=2, le=64, description="Identities per grid.")


class CriticAugmentConfig(AugmentConfig):
    """Augmentation of all images that the critic sees, real or synthetic; helps with few faces."""

    flip: float = Field(0.0, ge=0.0, le=1.0, description="Probability of a mirror image.")
    crop: float = Field(0.0, ge=0.0, le=1.0, description="Probability of a random crop.")
    translate: float = Field(0.1, ge=0.0, lt=1.0, description="Maximum shift, share of the side.")
    erase: float = Field(
        0.0, ge=0.0, le=1.0, description="Probability of a gray rectangle (cutout)."
    )
    erase_area: tuple[float, float] = Field(
        (0.1, 0.25), description="Smallest and largest area of the rectangle, share of the image."
    )
    mixup: float = Field(0.0, ge=0.0, le=0.0, description="Not supported for critics.")
    cutmix: float = Field(0.0, ge=0.0, le=0.0, description="Not supported for critics.")
    fill: Literal["zeros", "border", "reflection"] = Field(
        "border", description="Fill outside the image after a geometric change."
    )


class GanConfig(Section):
    """Stage 1: pretraining of generator and critics."""

    network: NetworkConfig = NetworkConfig()
    loss: GanLossConfig = GanLossConfig()
    optim: GanOptimConfig = GanOptimConfig()
    guard: GuardConfig = GuardConfig()
    samples: SamplesConfig = SamplesConfig()
    image_size: int | None = Field(
        None,
        ge=16,
        le=1024,
        multiple_of=16,
        description="Side of synthetic faces in pixels; null takes model.image_size.",
    )
    identity_space: str = Field(
        "auto",
        description="Frozen space that represents identity. `faces`: dlib's face descriptors (the "
        "extra of that name). `code`: the generator's latent codes. Otherwise a recognizer, name "
        "or folder, whose features are used. auto: `faces` where that extra is installed, else "
        "ke2nt/ferplus-resnet18.",
        json_schema_extra=MAY_MOVE,
    )
    identity_stage: int = Field(2, ge=0, description="Stage of that recognizer's image encoder.")
    sampling: Literal["natural", "sqrt", "balanced"] | None = Field(
        None,
        description="How often stage 1 sees a class of n images: proportional to n, to its square "
        "root, or equally often; null takes data.sampling.",
    )
    flip: bool = Field(True, description="Also train on mirror images.")
    critic_augment: CriticAugmentConfig = CriticAugmentConfig()
    min_images: int = Field(2, ge=1, description="Minimum number of images of a class.")


class JointConfig(Section):
    """Stage 2: joint training of recognizer and generator."""

    generator: str | None = Field(
        None,
        description="Folder of a pretraining run; null pretrains first, in OUT/synthesis.",
        json_schema_extra=FREE_ON_RESUME,
    )
    frozen: bool = Field(False, description="Keep the pretrained generator unchanged.")
    share: float = Field(0.5, ge=0.0, le=4.0, description="Synthetic images per real image.")
    start: float = Field(
        0.1, ge=0.0, le=1.0, description="Share of the epochs without synthetic images."
    )
    ramp: float = Field(
        0.2, ge=0.0, le=1.0, description="Share of the epochs in which their weight rises."
    )
    weight: float = Field(1.0, ge=0.0, description="Weight of the objective on synthetic images.")
    source: Literal["edits", "new", "both"] = Field(
        "both", description="Edits of the batch's faces, new identities, or half of each."
    )
    balance: Literal["uniform", "natural"] = Field(
        "uniform",
        description="Expressions of synthetic images: equally frequent, or as frequent as in the "
        "data.",
    )
    min_confidence: float = Field(
        0.0,
        ge=0.0,
        lt=1.0,
        description="Use a synthetic image only if the recognizer predicts its expression with "
        "this probability.",
    )
    intra_class: float = Field(0.1, ge=0.0, description="Weight of the intra-class loss.")
    rdbp: bool = Field(
        True, description="The intra-class loss moves only synthetic features to real ones."
    )
    consistency: float = Field(
        0.0,
        ge=0.0,
        description="Weight of the distance between the embedding of a face's neutral edit and "
        "its neutral embedding.",
    )
    gan_weight: float = Field(1.0, ge=0.0, description="Weight of the GAN losses.")
    every: int = Field(2, ge=1, description="Train the generator every N steps.")
    lr: float = Field(
        5e-5, gt=0.0, description="Peak learning rate of generator and critics (Adam)."
    )


class FesganConfig(TrainConfig):
    """Both stages; the sections of `TrainConfig` describe the recognizer."""

    gan: GanConfig = GanConfig()
    joint: JointConfig = JointConfig()

    @model_validator(mode="after")
    def _check_combinations(self) -> FesganConfig:
        if self.sharding != "none":
            raise ValueError("GAN training runs in one process; use sharding=none")
        if self.gan_size % 16:
            raise ValueError(
                "model.image_size, the size of synthetic faces, must be a multiple of 16; "
                "gan.image_size sets another size"
            )
        return self

    @property
    def gan_size(self) -> int:
        """Side of the synthetic faces in pixels."""
        return self.gan.image_size or self.model.image_size

    @property
    def channels(self) -> int:
        """Channels of the synthetic faces: 1 if the recognizer removes color, otherwise 3."""
        return 1 if self.model.gray else 3
