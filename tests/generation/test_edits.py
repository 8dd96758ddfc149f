"""Edits of image files do not depend on the batch size."""

from __future__ import annotations

import pytest
import torch
from PIL import Image

from ke2nt.generation import edit_faces
from ke2nt.generation.networks.generator import FaceGenerator


@pytest.mark.parametrize("batch", [1, 2])
def test_batch_size_changes_nothing(tmp_path, monkeypatch, batch):
    torch.manual_seed(0)
    generator = FaceGenerator(("neutral", "anger"), 32, 1, width=8).eval()
    images = []
    for i in range(5):
        images.append(tmp_path / f"{i}.png")
        Image.new("L", (32, 32), 40 * i).save(images[-1])
    monkeypatch.setattr(edit_faces, "_GRID_ROWS", 3)
    written, _ = edit_faces.write_edits(generator, images, tmp_path / "whole")
    monkeypatch.setattr(edit_faces, "_BATCH", batch)
    again, _ = edit_faces.write_edits(generator, images, tmp_path / "parts")
    assert written == again == [f"{i:03d}-{i}" for i in range(5)]
    for path in (tmp_path / "whole").rglob("*.png"):
        other = tmp_path / "parts" / path.relative_to(tmp_path / "whole")
        assert other.read_bytes() == path.read_bytes()
