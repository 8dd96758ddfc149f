"""Image towers of vision-language models: open_clip's, and CLIP and SigLIP of transformers."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ke2nt.data.images import decode
from ke2nt.data.sample import ImageSource
from ke2nt.errors import ModelError
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.vlm.catalog import DEFAULT_LOGIT_SCALE
from ke2nt.vlm.image_encoder import ImageEncoder, Tower
from ke2nt.vlm.open_clip import OpenClipEncoder
from ke2nt.vlm.resize import ResizeCrop
from ke2nt.vlm.transformers import TransformersEncoder

__all__ = ["OpenClipImages", "TransformersImages"]


class OpenClipImages(ImageEncoder):
    """An image tower of open_clip with its own preprocessing.

    Args:
        source: "ARCH/TAG", "ARCH/path/of/a/checkpoint", or a folder with open_clip_config.json.
        digests: Remembers digests of large files.

    Raises:
        TextEncoderError: No such architecture, tag, file or folder.
    """

    def __init__(self, source: str, digests: FileDigests) -> None:
        self._model = OpenClipEncoder(source, digests)
        self.id = self._model.id
        self.text_encoder = f"open_clip:{source}"

    @cached_property
    def _resize(self) -> ResizeCrop:
        tower, settings = self._model.image_settings()
        return ResizeCrop.from_settings(tower, settings, where=self.id)

    def weights(self) -> str:
        """Digest of the checkpoint and its configuration."""
        return self._model.fingerprint().weights

    def text_weights(self) -> str:
        """The same: both towers lie in one checkpoint."""
        return self.weights()

    def preprocessing(self) -> dict[str, Any]:
        """open_clip's own settings."""
        return self._resize.facts()

    def read(self, source: ImageSource) -> np.ndarray:
        """Decode to RGB, resize and crop."""
        return self._resize.pixels(decode(source))

    def load(self, device: torch.device) -> Tower:
        """The model with the preprocessing that open_clip itself gives it.

        Raises:
            ModelError: That is another preprocessing than the configuration says.
        """
        self._held = model = self._model.load()  # so that the text side may share it
        own = dict(model.visual.preprocess_cfg)
        final = ResizeCrop.from_settings(model.visual.image_size, own, where=self.id)
        if final != self._resize:
            raise ModelError(
                "the loaded model has another preprocessing than its configuration",
                expected=self._resize.facts(),
                found=final.facts(),
                where=self.id,
            )
        return _ClipTower(model.to(device), device, model.encode_image, self._resize.normalize)


class TransformersImages(ImageEncoder):
    """An image tower of CLIP or SigLIP with the library's own image processor.

    Args:
        source: A local folder or a hub id.
        digests: Remembers digests of large files.

    Raises:
        TextEncoderError: No such folder, or not a possible hub id.
    """

    def __init__(self, source: str, digests: FileDigests) -> None:
        self._model = TransformersEncoder(source, digests)
        self.id = self._model.id
        self.text_encoder = f"transformers:{source}"

    @cached_property
    def _processor(self) -> Any:
        side, processor = self._model.image_settings()
        cropped = getattr(processor, "do_center_crop", False)
        size = dict((processor.crop_size if cropped else processor.size) or {})
        found = {value for value in size.values() if value}
        if found != {side}:
            raise ModelError(
                "the image processor does not fit the image tower",
                expected=f"images of {side} px, as the tower reads",
                found=f"{'crop_size' if cropped else 'size'} {size}",
                where=self.id,
            )
        for name in ("image_mean", "image_std"):
            values = getattr(processor, name, None)
            if not getattr(processor, "do_normalize", False) or not values or len(values) != 3:
                raise ModelError(
                    f"the image processor has no {name}",
                    expected="do_normalize with three numbers",
                    found=values,
                    where=self.id,
                )
        return processor

    def weights(self) -> str:
        """Digest of the weights and the configuration."""
        return self._model.fingerprint().weights

    def text_weights(self) -> str:
        """The same: both towers lie in one checkpoint."""
        return self.weights()

    def preprocessing(self) -> dict[str, Any]:
        """The processor's settings, and how it resizes: Pillow and torchvision differ a little."""
        known = self._processor.to_dict()
        names = (
            *("do_resize", "size", "resample", "do_center_crop", "crop_size"),
            *("do_rescale", "rescale_factor", "image_mean", "image_std"),
        )
        facts = {name: known[name] for name in names if known.get(name) is not None}
        return {**facts, "backend": getattr(self._processor, "backend", "pil")}

    def read(self, source: ImageSource) -> np.ndarray:
        """Decode to RGB; the library resizes and crops."""
        found = self._processor(
            decode(source),
            do_rescale=False,
            do_normalize=False,
            input_data_format="channels_last",
            return_tensors="np",
        )["pixel_values"][0]
        return np.ascontiguousarray(found)

    def load(self, device: torch.device) -> Tower:
        """The model; the library rescales and normalizes each batch."""
        self._held = model = self._model.load().to(device)  # so that the text side may share it

        def embed(pixels: Tensor) -> Tensor:
            features = model.get_image_features(pixel_values=pixels)
            # A tensor up to transformers 4, an output object from 5 on.
            return features if isinstance(features, Tensor) else features.pooler_output

        return _ClipTower(model, device, embed, self._normalize)

    def _normalize(self, pixels: Tensor) -> Tensor:
        found = self._processor(
            pixels,
            do_resize=False,
            do_center_crop=False,
            input_data_format="channels_first",
            return_tensors="pt",
        )
        return found["pixel_values"].to(pixels.device)


class _ClipTower(Tower):
    def __init__(self, model: Any, device: torch.device, embed: Any, normalize: Any) -> None:
        scale = getattr(model, "logit_scale", None)
        self.logit_scale = DEFAULT_LOGIT_SCALE if scale is None else float(scale.detach().exp())
        self.device = device
        self._model, self._embed, self._normalize = model, embed, normalize

    def __call__(self, pixels: Tensor) -> Tensor:
        return self._embed(self._normalize(pixels))
