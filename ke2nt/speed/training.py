"""What training costs: the bare backbone, the whole loop, and a loop as published code has it."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ke2nt.config.schema import TrainConfig
from ke2nt.data.images import decode
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.labels import CANONICAL
from ke2nt.models.backbones import Backbone, create_backbone
from ke2nt.runtime.provenance import machine, package_versions
from ke2nt.runtime.seeding import derive_seed
from ke2nt.speed.measure import Contestant, Rate, take_turns
from ke2nt.speed.reference import ReferenceSettings, reference_epochs
from ke2nt.training.compute import Compute, choose_compute
from ke2nt.training.optimizer import build_optimizer
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import prepare_engine
from ke2nt.training.speed.compile_model import compiled_forward
from ke2nt.training.speed.cuda_graph import FIRST_REPLAY, StepGraph, resolve_cuda_graphs
from ke2nt.training.speed.small_maps import multiply_on_small_maps
from ke2nt.training.training_data import TrainingData

__all__ = ["random_faces", "training_speed"]


@dataclass(frozen=True)
class _Settings:
    """What the contestants have in common.

    Attributes:
        config: Backbone, batch size, optimizer and speed options.
        compute: Device and precision.
        split: Images of one measurement.
        steps: Batches of one measurement.
    """

    config: TrainConfig
    compute: Compute
    split: FaceSplit
    steps: int

    @property
    def batch_size(self) -> int:
        return self.config.optim.batch_size

    @property
    def image_size(self) -> int:
        return self.config.model.image_size

    def backbone(self) -> Backbone:
        """Build the backbone anew."""
        model = self.config.model
        return create_backbone(
            model.backbone, image_size=model.image_size, stem=model.stem, **model.backbone_options
        )


def training_speed(
    config: TrainConfig,
    *,
    steps: int = 8,
    rounds: int = 3,
    reference: bool = True,
    quiet: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Measure images per second of three ways to train the same backbone on images of one size.

    `bare`: the backbone's forward and backward pass and optimizer step on one fixed batch, with the
    precision, memory format, fused optimizer, convolutions, compiler and CUDA graph of the loop.
    `loop`: all that `train` does in an epoch: data, augmentation, model, losses and their means,
    weight average. `reference_style`: files through Pillow in workers, single precision, the text
    tower on every batch.

    Args:
        config: Backbone, image size, batch size, optimizer, augmentation, device and precision; its
            data are replaced by random images.
        steps: Batches of one measurement.
        rounds: Measurements of each, in turns.
        reference: Whether to measure `reference_style`, too.
        quiet: Show no progress.
        clock: As for `take_turns`.

    Returns:
        Plain JSON: the rates, `loop_over_bare`, `loop_over_reference`, memory, machine, settings.
    """
    compute = choose_compute(config)
    split = random_faces(config.optim.batch_size * steps, config.model.image_size)
    settings = _Settings(config, compute, split, steps)
    contestants = {"bare": _bare(settings), "loop": _loop(settings)}
    if reference:
        contestants["reference_style"] = _reference_style(settings)

    # A CUDA graph must be recorded before the clock starts.
    recorded = resolve_cuda_graphs(config.cuda_graphs, compute.device)
    warm_up = math.ceil(FIRST_REPLAY / steps) if recorded else 1
    rates = take_turns(
        contestants, compute.device, rounds=rounds, warm_up=warm_up, quiet=quiet, clock=clock
    )
    return _report(rates, settings, rounds)


def random_faces(count: int, size: int) -> FaceSplit:
    """Return a split of noise, uint8 (size, size, 3), over the canonical expressions."""
    rng = np.random.default_rng(derive_seed(0, "bench"))
    pixels = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    samples = (FaceSample(f"{i:06d}", pixels[i], i % len(CANONICAL)) for i in range(count))
    return FaceSplit("noise", "train", CANONICAL, tuple(samples))


def _bare(settings: _Settings) -> Contestant:
    """The backbone alone, again and again on one batch."""
    config, compute = settings.config, settings.compute

    @contextmanager
    def open_bare() -> Iterator[Callable[[], int]]:
        # the same options as in the loop
        net = settings.backbone().to(compute.device).to(memory_format=torch.channels_last).train()
        if not config.compile:
            multiply_on_small_maps(net)
        forward = compiled_forward(net) if config.compile else net
        optimizer = build_optimizer(net, config.optim)
        shape = (settings.batch_size, 3, settings.image_size, settings.image_size)
        images = torch.randn(shape, device=compute.device)
        images = images.contiguous(memory_format=torch.channels_last)

        # any loss will do
        def compute_gradients(images: torch.Tensor) -> list[torch.Tensor]:
            with compute.autocast():
                features = forward(images)
            optimizer.zero_grad(set_to_none=True)
            features.float().square().mean().backward()
            return []

        recorded = resolve_cuda_graphs(config.cuda_graphs, compute.device)
        step = StepGraph(compute_gradients, compute.device) if recorded else compute_gradients

        def work() -> int:
            for _ in range(settings.steps):
                step(images)
                optimizer.step()
            return settings.steps * settings.batch_size

        yield work

    return open_bare


def _loop(settings: _Settings) -> Contestant:
    """Whole epochs of the training engine."""
    size = settings.image_size

    @contextmanager
    def open_loop() -> Iterator[Callable[[], int]]:
        # images in RAM, as for datasets of usual size
        tensors = FaceTensors(settings.split, size, memory="ram")
        data = TrainingData(tensors, tensors, torch.from_numpy(settings.split.labels()))
        preprocessing = Preprocessing(image_size=size, gray=settings.config.model.gray)
        with tempfile.TemporaryDirectory() as folder:
            run, compute = RunDirectory(folder), settings.compute
            engine = prepare_engine(settings.config, run, data, compute, preprocessing, quiet=True)
            progress = Progress()

            def work() -> int:
                engine.train_epoch(progress)
                progress.next_epoch()
                return engine.steps_per_epoch * settings.batch_size

            yield work

    return open_loop


def _reference_style(settings: _Settings) -> Contestant:
    """A loop as published code has it, on image files."""

    @contextmanager
    def open_reference() -> Iterator[Callable[[], int]]:
        split = settings.split
        prompts = {name: f"a photo of a person making a {name} face." for name in split.classes}
        loading = ReferenceSettings(
            size=settings.image_size,
            batch_size=settings.batch_size,
            workers=settings.config.data.workers,
            device=settings.compute.device,
        )

        # files are part of what such code pays for
        with tempfile.TemporaryDirectory() as folder:
            files = _write_files(split, Path(folder))
            labels = [sample.label for sample in split.samples]
            net = settings.backbone()
            with reference_epochs(net, net.width, files, labels, prompts, loading) as epoch:
                yield epoch

    return open_reference


def _write_files(split: FaceSplit, folder: Path) -> list[Path]:
    """Write the images as JPEG files, the usual format of face datasets."""
    files = []
    for sample in split.samples:
        files.append(folder / f"{sample.name}.jpg")
        Image.fromarray(decode(sample.source)).save(files[-1], quality=95)
    return files


def _report(rates: dict[str, Rate], settings: _Settings, rounds: int) -> dict[str, Any]:
    """Rates and their ratios, then how they were measured."""
    config, device = settings.config, settings.compute.device
    speed = {name: rate.images_per_second for name, rate in rates.items()}
    ratios = {"loop_over_bare": round(speed["loop"] / speed["bare"], 4)}
    if "reference_style" in speed:
        ratios["loop_over_reference"] = round(speed["loop"] / speed["reference_style"], 4)

    # rates first, as people read the report from its top
    return {
        **{name: round(value, 2) for name, value in speed.items()},
        **ratios,
        "unit": "images/s",
        "detail": {name: rate.to_dict() for name, rate in rates.items()},
        "settings": {
            "backbone": config.model.backbone,
            "image_size": config.model.image_size,
            "batch_size": config.optim.batch_size,
            "optimizer": config.optim.name,
            "precision": settings.compute.precision,
            "compile": config.compile,
            "cuda_graphs": resolve_cuda_graphs(config.cuda_graphs, device),
            "device": str(device),
            "threads": torch.get_num_threads(),
            "steps": settings.steps,
            "rounds": rounds,
        },
        "machine": machine(),
        "versions": package_versions(),
    }
