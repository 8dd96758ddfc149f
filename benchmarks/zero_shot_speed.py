"""How fast images are embedded, beside the bare image tower on the same pixels.

    python benchmarks/zero_shot_speed.py [--model OPEN_CLIP_FOLDER] [--images N] [--repeats R]

"embed_split" is everything from files on disk to the entry in an empty cache: digests, decoding,
resizing, normalizing, the tower, and writing. "bare tower" is `encode_image` alone, on batches
that lie ready in memory. The two take turns, and each ratio is of neighbors in time; processor
time holds where other work shares the cores. Without a model it makes one of open_clip's
architecture ViT-B-32 with random weights: the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.evaluation.embed_split import embed_split
from ke2nt.evaluation.image_encoders import get_image_encoder


def random_model(architecture: str, folder: Path) -> Path:
    """A folder of open_clip with random weights."""
    torch.manual_seed(0)
    model = open_clip.create_model(architecture)
    folder.mkdir(parents=True)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    preprocess = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    config = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def faces_on_disk(count: int, size: int, root: Path) -> FaceSplit:
    """Drawn faces as PNG files, a folder for each class."""
    faces = DrawnFaces(count, size=size)
    samples = []
    for face in faces.render(range(count)):
        path = root / "test" / face.expression / f"{face.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.image).save(path)
        samples.append(FaceSample(path.name, path, face.label))
    return FaceSplit("drawn", "test", faces.classes, tuple(samples))


def timed(work: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    """Seconds on the clock, and of processor time over all threads."""
    clock, processor = time.perf_counter(), time.process_time()
    work(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=112, help="of the images on disk, in pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        folder = arguments.model or random_model(arguments.architecture, home / "model")
        split = faces_on_disk(arguments.images, arguments.side, home / "faces")
        encoder = get_image_encoder(f"open_clip:{folder}", cache_dir=home / "digests")
        tower = encoder.load(torch.device("cpu"))
        model = open_clip.create_model(f"local-dir:{folder}").eval()
        preprocess = image_transform_v2(
            PreprocessCfg(**model.visual.preprocess_cfg), is_train=False
        )
        with torch.inference_mode():
            pixels = torch.stack([preprocess(Image.open(s.source)) for s in split.samples])
            batches = pixels.split(arguments.batch)

            def bare() -> None:
                for batch in batches:
                    model.encode_image(batch)

            def whole(repeat: int) -> None:
                embed_split(
                    encoder, split, cache_dir=home / f"cache-{repeat}", batch_size=arguments.batch
                )

            bare()
            pairs = [(timed(whole, i), timed(bare)) for i in range(arguments.repeats)]
        del tower
        start = time.perf_counter()
        embed_split(encoder, split, cache_dir=home / "cache-0")
        again = time.perf_counter() - start
    name = folder.name if arguments.model else arguments.architecture
    print(
        f"{name}: {len(split)} images of {arguments.side} px, batches of {arguments.batch}, "
        f"{arguments.threads} threads"
    )
    for kind, what in enumerate(("clock", "processor time")):
        ours, theirs = (
            statistics.median(len(split) / pair[side][kind] for pair in pairs) for side in (0, 1)
        )
        ratios = sorted(bare[kind] / own[kind] for own, bare in pairs)
        print(
            f"{what}: embed_split {ours:.1f} images/s, bare tower {theirs:.1f} images/s; ratio "
            f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )
    print(f"from the cache: {1000 * again:.1f} ms for the split")


if __name__ == "__main__":
    main()
