"""What every recognizer shares: its image encoder, input checks, saving and loading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.calibration import Calibration
from ke2nt.checkpoints.imagenet import imagenet_weights
from ke2nt.checkpoints.initial_weights import WeightReport, load_initial_weights
from ke2nt.checkpoints.model_folder import SavedModel, find_model_folder, read_folder, write_folder
from ke2nt.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.backbones import Backbone, Stem, create_backbone
from ke2nt.models.output import KE2NTOutput
from ke2nt.models.stage_options import StageOptions
from ke2nt.models.stages import Fusion, StageBranch, StageFeatures, StageMaps
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.provenance import provenance as machine_provenance
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["KNOWN_STATISTICS", "ExpressionModel"]

_OWN_OPTIONS = {"name", "image_size", "in_chans", "stem", "drop_path", "pretrained"}
KNOWN_STATISTICS = ("timm", "imagenet")  # weights whose mean and deviation of the input timm knows


class ExpressionModel(nn.Module, ABC):
    """Base of the models: an image encoder and a head over K classes.

    Args:
        backbone: timm name or alias of the image encoder.
        image_size: Side of the square input in pixels.
        stem: First layers of the encoder, see `create_backbone`.
        drop_path: Rate of stochastic depth, None for the encoder's default.
        backbone_options: Further options of the timm model, plain JSON values.
        dropout: Probability of dropping a pooled feature in training.
        weights: Initial weights of the encoder: None (random), "timm" (its hub weights),
            "imagenet" (a package's, see `imagenet_weights`), or the path of a local file, see
            `load_initial_weights`.
        preprocessing: From pixels to the input; None for ImageNet's mean and standard deviation,
            or those that timm names for the weights of "timm" and "imagenet".
        attention: Options of heads with attention on several stages, see `StageOptions`; None for
            one head on the pooled features of the last stage.

    Attributes:
        preprocessing: From pixels to the input.
        provenance: What made the model, plain JSON; saved with it.
        calibration: Applied to the logits wherever probabilities are made, not by `forward`; None
            before `ke2nt calibrate`.
        card: Facts for the model card, plain JSON: name, data, config, evaluations.
        weight_report: What was taken from a local weights file, or None.

    Raises:
        ModelError: The encoder cannot be built, or an option is out of range.
        CheckpointError: Initial weights cannot be had or do not fit.
    """

    head: ClassVar[str]

    def __init__(
        self,
        backbone: str,
        image_size: int,
        *,
        stem: Stem,
        drop_path: float | None,
        backbone_options: Mapping[str, Any] | None,
        dropout: float,
        weights: str | Path | None,
        preprocessing: Preprocessing | None,
        attention: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= dropout < 1:
            raise ModelError("dropout is out of range", expected="0 to below 1", found=dropout)
        if preprocessing is not None and preprocessing.image_size != image_size:
            raise ModelError(
                "preprocessing and model differ in image size",
                expected=image_size,
                found=preprocessing.image_size,
            )
        options = dict(backbone_options or {})
        if own := sorted(_OWN_OPTIONS & options.keys()):
            raise ModelError(f"backbone options may not set {', '.join(own)}")
        self._encoder_options = {
            "backbone": backbone,
            "image_size": image_size,
            "stem": stem,
            "drop_path": drop_path,
            "backbone_options": options,
            "dropout": dropout,
        }
        stages = None if attention is None else StageOptions.from_dict(attention)
        if stages is not None:
            self._encoder_options["attention"] = stages.to_dict()
        self.backbone: Backbone = create_backbone(
            backbone,
            image_size=image_size,
            stem=stem,
            drop_path=drop_path,
            pretrained=weights == "timm",
            **options,
        )
        self.branches = nn.ModuleList()
        self.fusion: Fusion | None = None
        if stages is not None:
            maps = StageMaps(self.backbone, stages.stages, image_size)
            self.backbone = maps
            self.branches.extend(
                StageBranch(width, stages, normalize=maps.layered) for width in maps.widths
            )
            self.fusion = Fusion(stages)
        self.dropout = nn.Dropout(dropout)
        self.weight_report: WeightReport | None = None
        self.provenance: dict[str, Any] = {}
        self.calibration: Calibration | None = None
        self.card: dict[str, Any] = {}
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        if weights in KNOWN_STATISTICS:
            mean, std = self.backbone.mean or mean, self.backbone.std or std
        if weights == "timm":
            self.provenance["initial_weights"] = {"source": "timm"}
        elif weights is not None:
            packaged = weights == "imagenet"
            path = imagenet_weights(backbone) if packaged else Path(weights).expanduser()
            if not path.is_file():
                raise CheckpointError(
                    "no such initial weights",
                    expected="timm, imagenet, or a .safetensors or .pth file",
                    found=weights,
                    hint=did_you_mean(str(weights), KNOWN_STATISTICS),
                )
            self._load_initial(path)
        self.preprocessing = preprocessing or Preprocessing(image_size, mean, std)

    def _load_initial(self, path: Path) -> None:
        self.weight_report = load_initial_weights(self.backbone.net, path)
        self.provenance["initial_weights"] = {
            "source": path.name,
            "sha256": digest_file(path),
            "summary": self.weight_report.summary(),
        }

    @property
    @abstractmethod
    def classes(self) -> tuple[str, ...]:
        """Class names in index order."""

    @property
    @abstractmethod
    def bank(self) -> TextBank | None:
        """Text embeddings of the classes on the model's device; None for a linear head."""

    @property
    def architecture(self) -> dict[str, Any]:
        """Plain JSON value that `ke2nt.models.build.build_model` makes the same model from."""
        return {"head": self.head, **self._encoder_options}

    @classmethod
    @abstractmethod
    def from_architecture(
        cls,
        architecture: Mapping[str, Any],
        *,
        classes: tuple[str, ...],
        bank: TextBank | None,
        weights: str | Path | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> Self:
        """A model of this head from the keys of `architecture` other than "head"."""

    @abstractmethod
    def forward(self, images: Tensor) -> KE2NTOutput:
        """(B, 3, H, W) normalized images → logits and embeddings."""

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (B, width) of the encoder's last stage; see `stage_features`."""
        return self.stage_features(images).pooled[-1]

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Width of the pooled features of each stage, shallow to deep."""
        backbone = self.backbone
        return backbone.widths if isinstance(backbone, StageMaps) else (backbone.width,)

    def stage_features(self, images: Tensor) -> StageFeatures:
        """Pooled features of the encoder's stages; of the last one alone without attention heads.

        Args:
            images: (B, 3, image_size, image_size), floating, normalized by `preprocessing`.

        Raises:
            ModelError: The images have another shape or dtype.
        """
        size = self.preprocessing.image_size
        if images.shape[1:] != (3, size, size) or not images.is_floating_point():
            raise ModelError(
                "the images do not fit the model",
                expected=f"normalized floating images of shape (batch, 3, {size}, {size})",
                found=f"{images.dtype} of shape {tuple(images.shape)}",
                hint="model.preprocessing(images) makes them from images of any kind.",
            )
        if not isinstance(self.backbone, StageMaps):
            return StageFeatures((self.backbone(images),), ())
        seen = [
            branch(maps)
            for branch, maps in zip(self.branches, self.backbone.maps(images), strict=True)
        ]
        places = tuple(place for _, place in seen if place is not None)
        return StageFeatures(tuple(pooled for pooled, _ in seen), places)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        provenance: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Write weights, text bank, label set, preprocessing, calibration and card as a folder.

        Args:
            folder: New, empty, or an older saved model, which is replaced in one step.
            provenance: Plain JSON facts to add, such as the run's seed and data.
            dtype: Of the weights on disk, such as torch.float16 for half the size; they are
                loaded as float32.

        Raises:
            CheckpointError: The folder holds other files, or a weight is out of the dtype's range.
        """
        facts = {**machine_provenance(), **self.provenance, **(provenance or {})}
        write_folder(
            Path(folder).expanduser(),
            SavedModel(
                classes=self.classes,
                architecture=self.architecture,
                preprocessing=self.preprocessing,
                provenance=facts,
                bank=self.bank,
                state=self.state_dict(),
                calibration=self.calibration,
                card=self.card,
            ),
            dtype=dtype,
        )

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Load what `save_pretrained` wrote.

        Args:
            name: The folder, a run directory with `model/` inside, a model of the package such
                as "ke2nt/ferplus-resnet18", or a hub id "user/name" (where no such folder exists).

        Returns:
            The model on the CPU, in evaluation mode.

        Raises:
            CheckpointError: A file is absent, altered, of another head, or does not fit.
            LabelError: The parts of the folder disagree on the label set.
        """
        return cls.from_saved(read_folder(find_model_folder(name)), where=name)

    @classmethod
    def from_saved(cls, saved: SavedModel, *, where: object) -> Self:
        """A model from the content of its folder, in evaluation mode."""
        architecture = dict(saved.architecture)
        if (head := architecture.pop("head", None)) != cls.head:
            raise CheckpointError(
                "the saved model has another head",
                expected=cls.head,
                found=head,
                where=where,
                hint="ke2nt.models.load.load_model loads any head.",
            )
        try:
            model = cls.from_architecture(
                architecture,
                classes=saved.classes,
                bank=saved.bank,
                preprocessing=saved.preprocessing,
            )
        except TypeError as error:
            raise CheckpointError(
                "the saved architecture is not valid", found=error, where=where
            ) from error
        _fill(model, saved.state, where)
        model.provenance = dict(saved.provenance)
        model.calibration = saved.calibration
        model.card = dict(saved.card)
        return model.eval()


def _fill(model: nn.Module, state: Mapping[str, Tensor], where: object) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    stored = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = sorted(n for n in own.keys() | stored.keys() if own.get(n) != stored.get(n))
    if wrong:
        name = wrong[0]
        raise CheckpointError(
            f"{len(wrong)} saved tensors do not fit the architecture, {name} first",
            expected=f"shape {own[name]}" if name in own else "no such tensor",
            found=f"shape {stored[name]}" if name in stored else "none",
            where=where,
        )
    with torch.no_grad():
        model.load_state_dict(dict(state))
