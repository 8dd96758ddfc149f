"""Files of a trained GAN in a run directory: generator, critics and sample grids."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ke2nt.errors import CheckpointError
from ke2nt.generation.networks.critics import Critics
from ke2nt.generation.networks.find_generator import find_generator
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.sample_grids import write_sample_grids
from ke2nt.runtime.formatting import first_line
from ke2nt.runtime.seeding import torch_generator
from ke2nt.runtime.tensor_files import read_safetensors, write_safetensors

__all__ = ["load_critics", "save_gan"]

_CRITICS_FILE = "critics.safetensors"


def save_gan(
    folder: Path,
    generator: FaceGenerator,
    critics: Critics,
    faces: Tensor,
    *,
    seed: int,
    provenance: dict[str, Any],
) -> None:
    """Save generator and critics, and write grids of synthetic faces.

    Args:
        folder: The run directory.
        generator: The averaged generator.
        critics: Its critics.
        faces: (R, C, S, S) real faces that are edited in the grids.
        seed: Seed of the run.
        provenance: Saved with the generator; its "epoch" names the grids.
    """
    # the generator is complete by itself; the critics are needed to continue its training
    generator.provenance = provenance
    generator.save(folder / "generator")
    write_safetensors(folder / _CRITICS_FILE, critics.state_dict(), {}, dtype=torch.float32)

    # the same identities in all epochs, so that grids can be compared
    grids = folder / "samples" / f"epoch-{provenance['epoch']:05d}"
    write_sample_grids(grids, generator, faces, torch_generator(seed, "pictures"))


def load_critics(critics: Critics, source: Path) -> None:
    """Load the critics beside a saved generator; print a note if there are none.

    Raises:
        CheckpointError: They do not fit the configuration.
    """
    path = find_generator(source).parent / _CRITICS_FILE
    if not path.is_file():
        print(
            f"no critics next to the generator in {source}: they start untrained", file=sys.stderr
        )
        return

    # sizes and names depend on gan.network and gan.loss.adversary
    try:
        critics.load_state_dict(read_safetensors(path))
    except RuntimeError as error:
        raise CheckpointError(
            "the pretrained critics do not fit the configuration",
            where=path,
            found=first_line(error),
            hint="Set gan.network and gan.loss.adversary as in that run.",
        ) from error
