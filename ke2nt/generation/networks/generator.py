"""The generator: identity encoder and conditional decoder, saved and loaded as a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.errors import CheckpointError, ModelError
from ke2nt.generation.networks.decoder import ConditionalDecoder, Conditioning
from ke2nt.generation.networks.encoder import STAGES, IdentityEncoder
from ke2nt.generation.networks.find_generator import CONFIG_FILE, find_generator
from ke2nt.runtime.atomic import atomic_folder, write_json
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.tensor_files import read_safetensors, write_safetensors

__all__ = ["FaceGenerator"]

FORMAT = 1
_KIND = "ke2nt-face-generator"
_WEIGHTS_FILE = "generator.safetensors"


class FaceGenerator(nn.Module):
    """Edits the expressions of faces and generates faces of new identities.

    FESGAN's generator (https://arxiv.org/abs/2002.02194): image → code z; [z ; expression] → image.
    New identities are z ~ U(−1, 1).

    Args:
        classes: K expressions in index order.
        image_size: Side of the square images, a multiple of 16.
        channels: 1 (gray) or 3 (RGB).
        width: Channels of the first convolution.
        code_dim: Dimension of a latent code.
        conditioning: How the expression enters the decoder, see `ConditionalDecoder`.

    Attributes:
        provenance: How the generator was made, plain JSON; saved with it.

    Raises:
        ModelError: Image size or channels are not supported.
    """

    def __init__(
        self,
        classes: Sequence[str],
        image_size: int,
        channels: int = 3,
        *,
        width: int = 32,
        code_dim: int = 64,
        conditioning: Conditioning = "film",
    ) -> None:
        super().__init__()
        if image_size < 16 or image_size % 2**STAGES:
            raise ModelError(
                "unsupported image size of a generator",
                expected="a multiple of 16 pixels",
                found=image_size,
            )
        if channels not in (1, 3):
            raise ModelError(
                "a generator makes gray or RGB images", expected="1 or 3 channels", found=channels
            )
        self.classes = tuple(classes)
        self.image_size = image_size
        self.channels = channels
        self.code_dim = code_dim
        self.provenance: dict[str, Any] = {}

        # saved, so that `load` can build the same networks
        self._options = {"width": width, "code_dim": code_dim, "conditioning": conditioning}
        self.encoder = IdentityEncoder(channels, image_size, width, code_dim)
        self.decoder = ConditionalDecoder(
            channels, image_size, width, code_dim, len(self.classes), conditioning
        )

    def encode(self, images: Tensor) -> Tensor:
        """Encode (B, C, S, S) images in [−1, 1] as (B, code_dim) latent codes.

        Raises:
            ModelError: The images have another shape.
        """
        if images.shape[1:] != (self.channels, self.image_size, self.image_size):
            raise ModelError(
                "the images do not fit the generator",
                expected=f"(batch, {self.channels}, {self.image_size}, {self.image_size})",
                found=tuple(images.shape),
            )
        return self.encoder(images)

    def decode(self, codes: Tensor, expressions: Tensor) -> Tensor:
        """Generate faces from latent codes.

        Args:
            codes: (B, code_dim).
            expressions: (B,) class indices, or (B, K) rows that sum to 1.

        Returns:
            (B, C, S, S) in (−1, 1).
        """
        # class indices become one-hot rows
        if expressions.ndim == 1:
            expressions = functional.one_hot(expressions, len(self.classes))
        return self.decoder(codes, expressions.to(codes.dtype))

    def forward(self, images: Tensor, expressions: Tensor) -> Tensor:
        """Edit faces to other expressions; arguments as for `encode` and `decode`."""
        return self.decode(self.encode(images), expressions)

    def sample_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """Sample (count, code_dim) codes from the prior with a CPU generator."""
        # U(−1, 1), the range of the encoder's tanh
        codes = torch.rand((count, self.code_dim), generator=generator) * 2.0 - 1.0
        return codes.to(next(self.parameters()).device)

    def save(self, folder: Path) -> None:
        """Write weights and configuration to a folder, atomically."""
        with atomic_folder(folder) as partial:
            weights = partial / _WEIGHTS_FILE
            write_safetensors(weights, self.state_dict(), {"kind": _KIND}, dtype=torch.float32)

            config = {
                "kind": _KIND,
                "format_version": FORMAT,
                "classes": list(self.classes),
                "image_size": self.image_size,
                "channels": self.channels,
                "options": self._options,
                "provenance": self.provenance,
                "digest": digest_file(weights),
            }
            write_json(partial / CONFIG_FILE, config)

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Load a saved generator in evaluation mode.

        Args:
            name: Its folder, or a run directory that contains `generator/` or
                `synthesis/generator/`.

        Raises:
            CheckpointError: A file is missing, damaged, or does not fit.
        """
        folder = find_generator(Path(name).expanduser())
        config = _read_config(folder)
        if digest_file(folder / _WEIGHTS_FILE) != config.get("digest"):
            raise CheckpointError(
                f"{_WEIGHTS_FILE} is not the file that was saved (its digest differs)", where=folder
            )

        # a hand-edited configuration may name other sizes than the weights have
        try:
            generator = cls(
                config["classes"], config["image_size"], config["channels"], **config["options"]
            )
            generator.load_state_dict(read_safetensors(folder / _WEIGHTS_FILE))
        except (KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                "the saved generator does not fit its configuration",
                where=folder,
                found=first_line(error),
            ) from error

        generator.provenance = dict(config.get("provenance") or {})
        return generator.eval()


def _read_config(folder: Path) -> Mapping[str, Any]:
    path = folder / CONFIG_FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError("cannot read the generator's configuration", where=path) from error

    # other JSON files may have the same name
    if not isinstance(config, dict) or config.get("kind") != _KIND:
        raise CheckpointError("not a saved generator", where=path)
    if config.get("format_version") != FORMAT:
        raise CheckpointError(
            "unknown format of a saved generator",
            expected=FORMAT,
            found=config.get("format_version"),
            where=path,
        )
    return config
