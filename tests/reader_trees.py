"""Miniature datasets in their official layouts, for the tests of the readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

VOTE_COLUMNS = (
    "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"  # official order
)


def write_image(path: Path, seed: int = 0, size: int = 12) -> Path:
    """Write noise that differs from seed to seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def write_text(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_ferplus(root: Path, rows: list[str]) -> Path:
    """Votes file with some rows "Usage,name,votes…", and every image that they name."""
    folders = {"Training": "FER2013Train", "PublicTest": "FER2013Valid"}
    write_text(
        root / "fer2013new.csv", f"Usage,Image name,{VOTE_COLUMNS}\n" + "\n".join(rows) + "\n"
    )
    for seed, row in enumerate(rows):
        usage, name = row.split(",")[:2]
        if name:
            write_image(root / folders.get(usage, "FER2013Test") / name, seed)
    return root


def write_rafdb(root: Path, lines: list[str]) -> Path:
    write_text(root / "EmoLabel" / "list_patition_label.txt", "\n".join(lines) + "\n")
    for seed, line in enumerate(lines):
        stem = line.split(".")[0]
        write_image(root / "Image" / "aligned" / f"{stem}_aligned.jpg", seed)
    return root


def write_ckplus(root: Path, sequences: dict[str, tuple[int, float | None]]) -> Path:
    """Sequences "S005/001" → number of frames and emotion code (None for an unlabeled one)."""
    for seed, (name, (frames, code)) in enumerate(sequences.items()):
        stem = name.replace("/", "_")
        for frame in range(1, frames + 1):
            write_image(root / "cohn-kanade-images" / name / f"{stem}_{frame:08d}.png", seed, 4)
        folder = root / "Emotion" / name
        folder.mkdir(parents=True)
        if code is not None:
            write_text(folder / f"{stem}_{frames:08d}_emotion.txt", f"   {code:.7e}\n")
    return root
