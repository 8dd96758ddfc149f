"""Image embeddings for the prompt experiments, as the command line asks for them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.cli.options import (
    LabelChoice,
    PrecisionChoice,
    device_name,
    pairs,
    reader_options,
    spread,
)

if TYPE_CHECKING:
    from ke2nt.evaluation.embed_split import ImageEmbeddings

__all__ = ["FaceSource"]


@dataclass(frozen=True)
class FaceSource:
    """Where image embeddings come from, and how their labels are read."""

    encoder: str
    dataset: str
    root: Path | None
    rule: str | None
    option: list[str] | None
    text_encoder: str | None
    labels: LabelChoice
    merge: list[str] | None
    limit: int | None
    batch_size: int
    device: str | None
    precision: PrecisionChoice
    cache_dir: Path | None
    quiet: bool

    def embed(self, *names: str) -> list[ImageEmbeddings]:
        """Image embeddings of some splits."""
        from ke2nt.datasets.catalog import get_reader
        from ke2nt.evaluation.embed_split import embed_split
        from ke2nt.evaluation.image_encoders import get_image_encoder

        device = device_name(self.device)
        model = get_image_encoder(
            self.encoder, cache_dir=self.cache_dir, text_encoder=self.text_encoder
        )
        reader = get_reader(self.dataset, self.root, self.options())
        found = []
        for name in names:
            images = embed_split(
                model,
                spread(reader.load(name), self.limit),
                cache_dir=self.cache_dir,
                batch_size=self.batch_size,
                device=device,
                precision=self.precision.value,
                quiet=self.quiet,
            )
            for failed, reason in images.failed:
                print(f"unreadable: {failed}: {reason}", file=sys.stderr)
            found.append(images)
        return found

    def options(self) -> dict[str, Any]:
        """Options of the dataset's reader."""
        return reader_options(self.option, self.rule)

    def reading(self, bootstrap: int, seed: int) -> dict[str, Any]:
        """Keyword arguments that the lab's functions share."""
        return {
            "policy": self.labels.value,
            "merge": pairs(self.merge, "--merge"),
            "cache_dir": self.cache_dir,
            "bootstrap": bootstrap,
            "seed": seed,
        }

    def facts(self, images: ImageEmbeddings, **more: Any) -> dict[str, Any]:
        """What the figures depend on, as plain JSON."""
        return {
            "encoder": self.encoder,
            "encoder_id": images.encoder,
            "text_encoder": images.text_encoder,
            "dataset": self.dataset,
            "options": self.options(),
            "limit": self.limit,
            "failed": len(images.failed),
            **more,
        }
