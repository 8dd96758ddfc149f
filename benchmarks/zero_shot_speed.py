"""How fast images are embedded, compared with the bare image tower on the same pixels.

    python benchmarks/zero_shot_speed.py [--model OPEN_CLIP_FOLDER] [--images N] [--repeats R]

"embed_split" is everything from files on disk to the entry in an empty cache: digests, decoding,
resizing, normalizing, the tower, and writing. "bare tower" is `encode_image` alone, on batches in
memory. The two take turns, and each ratio compares neighbors in time; processor time is reliable
even if other work shares the cores. Without `--model` it creates open_clip's architecture ViT-B-32
with random weights: the arithmetic is the same.
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

Times = tuple[float, float]  # seconds by the clock, and of processor time


def create_random_model(architecture: str, folder: Path) -> Path:
    """Create a model folder of open_clip with random weights."""
    torch.manual_seed(0)
    model = open_clip.create_model(architecture)
    folder.mkdir(parents=True)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")

    preprocess = {"mean": open_clip.OPENAI_DATASET_MEAN, "std": open_clip.OPENAI_DATASET_STD}
    config = {"model_cfg": open_clip.get_model_config(architecture), "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    return folder


def write_faces(count: int, size: int, root: Path) -> FaceSplit:
    """Write drawn faces as PNG files, one folder for each class."""
    faces = DrawnFaces(count, size=size)
    samples = []
    for face in faces.render(range(count)):
        path = root / "test" / face.expression / f"{face.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(face.image).save(path)
        samples.append(FaceSample(path.name, path, face.label))
    return FaceSplit("drawn", "test", faces.classes, tuple(samples))


def measure(work: Callable[..., None], *arguments: Any) -> Times:
    """Measure the seconds by the clock, and of processor time over all threads."""
    clock, processor = time.perf_counter(), time.process_time()
    work(*arguments)
    return time.perf_counter() - clock, time.process_time() - processor


class BareTower:
    """`encode_image` of open_clip, on batches in memory."""

    def __init__(self, folder: Path, split: FaceSplit, batch: int) -> None:
        self.model = open_clip.create_model(f"local-dir:{folder}").eval()
        preprocess = image_transform_v2(
            PreprocessCfg(**self.model.visual.preprocess_cfg), is_train=False
        )
        images = [preprocess(Image.open(str(sample.source))) for sample in split.samples]
        self.batches = torch.stack(images).split(batch)

    @torch.inference_mode()
    def run(self) -> None:
        for batch in self.batches:
            self.model.encode_image(batch)


def compare(
    folder: Path, split: FaceSplit, scratch: Path, args: argparse.Namespace
) -> tuple[list[tuple[Times, Times]], float]:
    """Measure both in turns, and then the seconds of `embed_split` from a full cache."""
    encoder = get_image_encoder(f"open_clip:{folder}", cache_dir=scratch / "digests")
    tower = encoder.load(torch.device("cpu"))  # held, so that it is not loaded again
    bare = BareTower(folder, split, args.batch)

    def embed(repeat: int) -> None:
        cache = scratch / f"cache-{repeat}"
        embed_split(encoder, split, cache_dir=cache, batch_size=args.batch)

    bare.run()
    pairs = [(measure(embed, repeat), measure(bare.run)) for repeat in range(args.repeats)]
    del tower

    start = time.perf_counter()
    embed_split(encoder, split, cache_dir=scratch / "cache-0")
    return pairs, time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=112, help="of the images on disk, in pixels")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    with tempfile.TemporaryDirectory() as temporary_folder:
        scratch = Path(temporary_folder)
        folder = args.model or create_random_model(args.architecture, scratch / "model")
        split = write_faces(args.images, args.side, scratch / "faces")
        pairs, cached_seconds = compare(folder, split, scratch, args)

    name = folder.name if args.model else args.architecture
    print(
        f"{name}: {len(split)} images of {args.side} px, batches of {args.batch}, "
        f"{args.threads} threads"
    )
    for i, clock in enumerate(("clock", "processor time")):
        embed_rate = statistics.median(len(split) / embed[i] for embed, _ in pairs)
        bare_rate = statistics.median(len(split) / bare[i] for _, bare in pairs)
        ratios = sorted(bare[i] / embed[i] for embed, bare in pairs)
        print(
            f"{clock}: embed_split {embed_rate:.1f} images/s, bare tower {bare_rate:.1f} images/s; "
            f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
        )
    print(f"from the cache: {1000 * cached_seconds:.1f} ms for the split")


if __name__ == "__main__":
    main()
