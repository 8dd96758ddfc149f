"""What every recognizer shares: its image encoder, input checks, saving and loading."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.find_weights import NAMED_WEIGHTS, find_initial_weights
from ke2nt.checkpoints.first_weights import describe_first_weights
from ke2nt.checkpoints.initial_weights import WeightReport, load_initial_weights
from ke2nt.checkpoints.model_folder import find_model_folder, read_folder
from ke2nt.checkpoints.pretrained import save_model
from ke2nt.checkpoints.saved_model import SavedModel
from ke2nt.data.preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from ke2nt.errors import CheckpointError, ModelError
from ke2nt.models.backbones import Backbone, create_backbone
from ke2nt.models.batch_norms import frozen_batch_norms
from ke2nt.models.calibration import Calibration
from ke2nt.models.custom_backbones import check_downloaded_backbone
from ke2nt.models.encoder_options import EncoderOptions
from ke2nt.models.face_networks import FACE_NETWORKS
from ke2nt.models.face_weights import face_weights
from ke2nt.models.familiarity import Familiarity
from ke2nt.models.lora import lora_layers, merge_lora
from ke2nt.models.output import KE2NTOutput
from ke2nt.models.stage_options import StageOptions
from ke2nt.models.stages import Fusion, StageBranch, StageFeatures, StageMaps
from ke2nt.models.tower_backbones import tower_preprocessing
from ke2nt.runtime.digest import digest_file

__all__ = ["ExpressionModel"]


class ExpressionModel(nn.Module, ABC):
    """Base of the models: an image encoder and a head over K classes.

    Args:
        options: Options of the image encoder.
        weights: Initial weights of the encoder: None (random), "timm" (its hub weights),
            "imagenet" and "faces" (a package's, see `imagenet_weights` and `face_weights`), or the
            path of a local file, see `load_initial_weights`.
        preprocessing: From pixels to the input; None for ImageNet's mean and standard deviation,
            those that timm names for the weights of "timm" and "imagenet", or all that an image
            tower was trained with.

    Attributes:
        preprocessing: From pixels to the input.
        provenance: Origin of the model, plain JSON; saved with it.
        calibration: Applied to the logits wherever probabilities are computed, not by `forward`;
            None before `ke2nt calibrate`.
        familiarity: Tells what is no face, or unlike the faces that the model knows; None before
            `ke2nt calibrate`.
        card: Facts for the model card, plain JSON: name, data, config, evaluations.
        weight_report: Which tensors a local weights file filled, or None.

    Raises:
        ModelError: The encoder cannot be built, or an option is out of range.
        CheckpointError: Initial weights are not available or do not fit.
    """

    head: ClassVar[str]

    def __init__(
        self,
        options: EncoderOptions,
        *,
        weights: str | Path | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        super().__init__()
        # modules are created in this order, which fixes their random initial weights
        self.backbone: Backbone = create_backbone(
            options.backbone,
            image_size=options.image_size,
            stem=options.stem,
            drop_path=options.drop_path,
            pretrained=weights == "timm",
            tower=options.tower,
            **options.backbone_options,
        )
        self._encoder_options = options = _resolve_options(options, self.backbone)
        size = self.backbone.image_size
        if preprocessing is not None and preprocessing.image_size != size:
            raise ModelError(
                "preprocessing and model differ in image size",
                expected=size,
                found=preprocessing.image_size,
            )
        self.branches = nn.ModuleList()
        self.fusion: Fusion | None = None
        if options.attention is not None:
            self._add_stages(options.attention)
        self.dropout = nn.Dropout(options.dropout)

        # facts about the model, saved with it
        self.weight_report: WeightReport | None = None
        self.provenance: dict[str, Any] = {}
        self.calibration: Calibration | None = None
        self.familiarity: Familiarity | None = None
        self.card: dict[str, Any] = {}

        self.preprocessing = preprocessing or self._default_preprocessing(weights)

    def _add_stages(self, options: StageOptions) -> None:
        """Give the deepest stages of the encoder attention, and a weight in the fusion."""
        maps = StageMaps(self.backbone, options.stages, self.backbone.image_size)
        self.backbone = maps
        self.branches.extend(
            StageBranch(width, options, normalize=maps.layered) for width in maps.widths
        )
        self.fusion = Fusion(options)

    def _default_preprocessing(self, weights: str | Path | None) -> Preprocessing:
        """With the statistics that the initial weights expect, if they are known."""
        if self.backbone.tower is not None:
            return tower_preprocessing(self.backbone.tower)

        mean, std = IMAGENET_MEAN, IMAGENET_STD
        # a local file does not say which statistics its weights expect, but some networks do
        if weights in NAMED_WEIGHTS or self._encoder_options.backbone in FACE_NETWORKS:
            mean, std = self.backbone.mean or mean, self.backbone.std or std
        return Preprocessing(self.backbone.image_size, mean, std)

    def start_from_file(
        self,
        weights: str | Path | None,
        *,
        min_match: float | None = None,
        neck: nn.Module | None = None,
    ) -> None:
        """Replace the random weights of the encoder by those of a file; the last step of building.

        Args:
            weights: As for the class; "timm" has filled the encoder already.
            min_match: How much of the encoder the file must fill, see `load_initial_weights`.
            neck: Layers behind the encoder, which a local file has to fill, too.
        """
        if weights is None:
            tower = self.backbone.tower
            if tower is not None:
                initial = {"source": tower.id, "sha256": tower.weights}
                self.provenance["initial_weights"] = initial
            return
        backbone = self._encoder_options.backbone
        if weights == "timm":
            self.provenance["initial_weights"] = {"source": "timm"}
            self.card["first_weights"] = describe_first_weights(weights, backbone)
            return

        if weights == "faces":
            path = face_weights(backbone)
        else:
            path = find_initial_weights(weights, backbone)
        net = self.backbone.net
        # weights by name are those of an encoder alone
        if weights in NAMED_WEIGHTS:
            neck = None
        self.weight_report = load_initial_weights(net, path, min_match=min_match, neck=neck)
        self.provenance["initial_weights"] = {
            "source": path.name,
            "sha256": digest_file(path),
            "summary": self.weight_report.summary(),
            "report": self.weight_report.to_dict(),
        }
        self.card["first_weights"] = describe_first_weights(weights, backbone)

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
        """Plain JSON value from which `ke2nt.models.build.build_model` builds the same model."""
        return {"head": self.head, **self._encoder_options.to_dict()}

    @classmethod
    @abstractmethod
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
        """Build a model of this head from the keys of `architecture` other than "head"."""

    @abstractmethod
    def forward(self, images: Tensor) -> KE2NTOutput:
        """(B, 3, H, W) normalized images → logits and embeddings."""

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; batch normalizations whose weights are frozen stay as they are.

        They normalize by their stored statistics, as the frozen layers around them expect.
        """
        super().train(mode)
        if mode:
            for layer in frozen_batch_norms(self.backbone):
                layer.eval()
        return self

    def features(self, images: Tensor) -> Tensor:
        """Pooled features (B, width) of the encoder's last stage; see `stage_features`."""
        return self.stage_features(images).pooled[-1]

    @property
    def stage_widths(self) -> tuple[int, ...]:
        """Width of the pooled features of each stage, shallow to deep."""
        backbone = self.backbone
        return backbone.widths if isinstance(backbone, StageMaps) else (backbone.width,)

    def stage_features(self, images: Tensor) -> StageFeatures:
        """Pooled features of the encoder's stages; only of the last one without attention heads.

        Args:
            images: (B, 3, image_size, image_size), floating, normalized by `preprocessing`.

        Raises:
            ModelError: The images have another shape or dtype.
        """
        self._check_images(images)
        if not isinstance(self.backbone, StageMaps):
            return StageFeatures((self.backbone(images),), ())

        # (B, C_i) features and (B, h_i, w_i) weights of each stage
        pooled, attention = [], []
        for branch, maps in zip(self.branches, self.backbone.maps(images), strict=True):
            features, spatial_weights = branch(maps)
            pooled.append(features)
            if spatial_weights is not None:
                attention.append(spatial_weights)
        return StageFeatures(tuple(pooled), tuple(attention))

    def _check_images(self, images: Tensor) -> None:
        size = self.preprocessing.image_size
        if images.shape[1:] != (3, size, size) or not images.is_floating_point():
            raise ModelError(
                "the images do not fit the model",
                expected=f"normalized floating images of shape (batch, 3, {size}, {size})",
                found=f"{images.dtype} of shape {tuple(images.shape)}",
                hint="model.preprocessing.normalize makes them from uint8 pixels.",
            )

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        provenance: Mapping[str, Any] | None = None,
        dtype: torch.dtype = torch.float32,
        state: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Write weights, text bank, label set, preprocessing, calibration and card as a folder.

        Low-rank changes of matrices (`model.tune=lora`) are merged: the folder is that of a model
        without them.

        Args:
            folder: New, empty, or an older saved model, which is replaced in one step.
            provenance: Plain JSON facts to add, such as the run's seed and data.
            dtype: Type of the weights on disk, such as torch.float16 for half the size; they are
                loaded as float32.
            state: Weights in place of `state_dict()`, such as the gathered ones of a sharded
                model, see `ke2nt.runtime.sharding.gather_state`.

        Raises:
            CheckpointError: The folder holds other files, a weight is out of the dtype's range, or
                the backbone was given as a module, which cannot be built again.
        """
        folder = Path(folder).expanduser()
        if lora_layers(self):
            state = merge_lora(self, self.state_dict() if state is None else state)
        save_model(self, folder, provenance=provenance or {}, dtype=dtype, state=state)

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Load what `save_pretrained` wrote.

        Args:
            name: The folder, a run directory with `model/` inside, a model of the package such
                as "ke2nt/ferplus-faces", or a hub id "user/name" (if no such folder exists).

        Returns:
            The model on the CPU, in evaluation mode.

        Raises:
            CheckpointError: A file is missing, altered, of another head, or does not fit; or a
                model from the hub needs the code of a module that is not imported.
            LabelError: The parts of the folder disagree on the label set.
            ModelError: The image encoder cannot be built.
        """
        return cls.from_saved(read_folder(find_model_folder(name)), where=name)

    @classmethod
    def from_saved(cls, saved: SavedModel, *, where: object) -> Self:
        """Build a model from the content of its folder, in evaluation mode."""
        # the class decides the head, so a folder of another head needs another class
        architecture = dict(saved.architecture)
        head = architecture.pop("head", None)
        if head != cls.head:
            raise CheckpointError(
                "the saved model has another head",
                expected=cls.head,
                found=head,
                where=where,
                hint="ke2nt.models.load.load_model loads any head.",
            )

        # building may import the backbone's module, so a download is checked before
        check_downloaded_backbone(architecture.get("backbone"), saved.folder)
        try:
            model = cls.from_architecture(
                architecture,
                classes=saved.classes,
                bank=saved.bank,
                preprocessing=saved.preprocessing,
            )
        except TypeError as error:  # an unknown key
            raise CheckpointError(
                "the saved architecture is not valid", found=error, where=where
            ) from error

        saved.load_into(model, where=where)
        if saved.calibration is not None:
            model.calibration = Calibration.from_dict(saved.calibration, where=saved.config_file)
        if saved.familiarity is not None:
            model.familiarity = Familiarity.from_saved(
                saved.familiarity, saved.familiarity_tensors, where=saved.config_file
            )
        model.provenance = dict(saved.provenance)
        model.card = dict(saved.card)
        return model.eval()


def _resolve_options(options: EncoderOptions, backbone: Backbone) -> EncoderOptions:
    """The options as a saved model keeps them: with its image size, and its image tower as data."""
    if backbone.tower is None:
        return replace(options, image_size=backbone.image_size)
    # the id holds no folder of this machine
    tower = backbone.tower
    return replace(options, backbone=tower.id, image_size=tower.image_size, tower=tower.to_dict())
