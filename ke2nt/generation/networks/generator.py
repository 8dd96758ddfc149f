"""The generator: identity encoder and conditional decoder, saved and loaded as a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.checkpoints.tensor_files import read_safetensors, write_safetensors
from ke2nt.errors import CheckpointError, ModelError
from ke2nt.generation.networks.decoder import ConditionalDecoder, Conditioning
from ke2nt.generation.networks.encoder import STAGES, IdentityEncoder
from ke2nt.runtime.atomic import atomic_folder, write_json
from ke2nt.runtime.digest import digest_file

__all__ = ["FaceGenerator", "find_generator"]

FORMAT = 1
_KIND = "ke2nt-face-generator"
_FACTS, _WEIGHTS = "generator.json", "generator.safetensors"


class FaceGenerator(nn.Module):
    """Edits the expressions of faces and makes faces of new identities.

    FESGAN's generator (https://arxiv.org/abs/2002.02194): image → code z; [z ; expression] → image.
    New identities are z ~ U(−1, 1).

    Args:
        classes: K expressions in index order.
        image_size: Side of the square images, a multiple of 16.
        channels: 1 (gray) or 3 (RGB).
        width: Channels of the first convolution.
        code_dim: Values of a code.
        conditioning: How the expression enters the decoder, see `ConditionalDecoder`.

    Attributes:
        provenance: What made it, plain JSON; saved with it.

    Raises:
        ModelError: A size does not fit.
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
                "the side of synthetic faces does not fit",
                expected="a multiple of 16 pixels",
                found=image_size,
            )
        if channels not in (1, 3):
            raise ModelError("synthetic faces are gray or RGB", expected="1 or 3", found=channels)
        self.classes = tuple(classes)
        self.image_size = image_size
        self.channels = channels
        self.code_dim = code_dim
        self._options = {"width": width, "code_dim": code_dim, "conditioning": conditioning}
        self.provenance: dict[str, Any] = {}
        self.encoder = IdentityEncoder(channels, image_size, width, code_dim)
        self.decoder = ConditionalDecoder(
            channels, image_size, width, code_dim, len(self.classes), conditioning
        )

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, S, S) images in [−1, 1] → (B, code_dim) identity codes.

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
        """Faces.

        Args:
            codes: (B, code_dim).
            expressions: (B,) class indices, or (B, K) rows that sum to 1.

        Returns:
            (B, C, S, S) in (−1, 1).
        """
        if expressions.ndim == 1:
            expressions = functional.one_hot(expressions, len(self.classes))
        return self.decoder(codes, expressions.to(codes.dtype))

    def forward(self, images: Tensor, expressions: Tensor) -> Tensor:
        """The same people with other expressions; arguments as of `encode` and `decode`."""
        return self.decode(self.encode(images), expressions)

    def new_codes(self, count: int, generator: torch.Generator) -> Tensor:
        """(count, code_dim) codes from the prior, drawn by a CPU generator."""
        codes = torch.rand((count, self.code_dim), generator=generator) * 2.0 - 1.0
        return codes.to(next(self.parameters()).device)

    def save(self, folder: Path) -> None:
        """Write weights and facts as a folder, atomically."""
        with atomic_folder(folder) as aside:
            write_safetensors(
                aside / _WEIGHTS, self.state_dict(), {"kind": _KIND}, dtype=torch.float32
            )
            write_json(
                aside / _FACTS,
                {
                    "kind": _KIND,
                    "format_version": FORMAT,
                    "classes": list(self.classes),
                    "image_size": self.image_size,
                    "channels": self.channels,
                    "options": self._options,
                    "provenance": self.provenance,
                    "digest": digest_file(aside / _WEIGHTS),
                },
            )

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """Load what `save` wrote, in evaluation mode.

        Args:
            name: The folder, or a run directory with `generator/` or `synthesis/generator/` inside.

        Raises:
            CheckpointError: A file is absent, altered, or does not fit.
        """
        folder = find_generator(Path(name).expanduser())
        facts = _read_facts(folder)
        if digest_file(folder / _WEIGHTS) != facts.get("digest"):
            raise CheckpointError(
                f"{_WEIGHTS} is not the file that was saved (its digest differs)", where=folder
            )
        try:
            made = cls(facts["classes"], facts["image_size"], facts["channels"], **facts["options"])
            made.load_state_dict(read_safetensors(folder / _WEIGHTS))
        except (KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(
                "the saved generator does not fit its description",
                where=folder,
                found=str(error).splitlines()[0],
            ) from error
        made.provenance = dict(facts.get("provenance") or {})
        return made.eval()


def find_generator(path: Path) -> Path:
    """The folder of a saved generator, given itself or a run that saved one.

    Raises:
        CheckpointError: There is none.
    """
    for folder in (path / "generator", path / "synthesis" / "generator", path):
        if (folder / _FACTS).is_file():
            return folder
    raise CheckpointError(
        "no saved generator",
        expected=f"a folder with {_FACTS}, or a run of ke2nt gan pretrain",
        where=path,
    )


def _read_facts(folder: Path) -> Mapping[str, Any]:
    try:
        facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "the generator's description cannot be read", where=folder / _FACTS
        ) from error
    if not isinstance(facts, dict) or facts.get("kind") != _KIND:
        raise CheckpointError("not a saved generator", where=folder / _FACTS)
    if facts.get("format_version") != FORMAT:
        raise CheckpointError(
            "unknown format of a saved generator",
            expected=FORMAT,
            found=facts.get("format_version"),
            where=folder / _FACTS,
        )
    return facts
