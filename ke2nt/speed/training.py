"""What training costs: the bare backbone, the whole loop, and a loop as published code has it."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from ke2nt.speed.measure import Rate, take_turns
from ke2nt.speed.reference import reference_epochs
from ke2nt.training.device import choose_compute
from ke2nt.training.optimizer import build_optimizer
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import prepare_engine
from ke2nt.training.speed.compile_model import compiled_forward
from ke2nt.training.speed.cuda_graph import CALLS_BEFORE_REPLAY, StepGraph
from ke2nt.training.speed.small_maps import multiply_on_small_maps
from ke2nt.training.training_data import TrainingData

__all__ = ["random_faces", "training_speed"]


def training_speed(
    config: TrainConfig, *, steps: int = 8, rounds: int = 3, reference: bool = True
) -> dict[str, Any]:
    """Images a second of three ways to train the same backbone on the same kind of images.

    `bare`: the backbone's forward and backward pass and optimizer step on one fixed batch, in the
    configured precision, with the loop's memory format, fused optimizer, convolutions, compiler and
    CUDA graph. `loop`: all that `train` does in an epoch: data, augmentation, the model, losses,
    their means, the weight average. `reference_style`: files through Pillow in workers, single
    precision, the text tower on every batch.

    Args:
        config: Backbone, image size, batch size, optimizer, augmentation, device and precision; its
            data are replaced by random images.
        steps: Batches of one measurement.
        rounds: Measurements of each, in turns.
        reference: Measure `reference_style`, too.

    Returns:
        Plain JSON: the rates, `loop_over_bare`, `loop_over_reference`, memory, machine, settings.
    """
    compute = choose_compute(config)
    device = compute.device
    size, batch = config.model.image_size, config.optim.batch_size
    split = random_faces(batch * steps, size)

    @contextmanager
    def bare() -> Iterator[Callable[[], int]]:
        net = _backbone(config).to(device).to(memory_format=torch.channels_last).train()
        if not config.compile:
            multiply_on_small_maps(net)
        forward = compiled_forward(net) if config.compile else net
        optimizer = build_optimizer(net, config.optim)
        images = torch.randn(batch, 3, size, size, device=device)
        images = images.contiguous(memory_format=torch.channels_last)

        def gradients(images: torch.Tensor) -> list[torch.Tensor]:
            with compute.autocast():
                features = forward(images)
            optimizer.zero_grad(set_to_none=True)
            features.float().square().mean().backward()
            return []

        to_gradients = StepGraph(gradients, device) if config.cuda_graphs else gradients

        def work() -> int:
            for _ in range(steps):
                to_gradients(images)
                optimizer.step()
            return steps * batch

        yield work

    @contextmanager
    def loop() -> Iterator[Callable[[], int]]:
        tensors = FaceTensors(split, size, memory="ram")
        data = TrainingData(tensors, tensors, torch.from_numpy(split.labels()))
        with tempfile.TemporaryDirectory() as folder:
            engine = prepare_engine(
                config,
                RunDirectory(folder),
                data,
                compute,
                Preprocessing(image_size=size, gray=config.model.gray),
                quiet=True,
            )
            progress = Progress()

            def work() -> int:
                engine.train_epoch(progress)
                progress.next_epoch()
                return engine.steps_per_epoch * batch

            yield work

    @contextmanager
    def published() -> Iterator[Callable[[], int]]:
        with tempfile.TemporaryDirectory() as folder:
            files = _write(split, Path(folder))
            net = _backbone(config)
            prompts = {name: f"a photo of a person making a {name} face." for name in split.classes}
            with reference_epochs(
                net,
                net.width,
                files,
                [sample.label for sample in split.samples],
                prompts,
                size=size,
                batch_size=batch,
                workers=config.data.workers,
                device=device,
            ) as epoch:
                yield epoch

    contestants = {"bare": bare, "loop": loop}
    if reference:
        contestants["reference_style"] = published
    warm_up = math.ceil(CALLS_BEFORE_REPLAY / steps) if config.cuda_graphs else 1
    rates = take_turns(contestants, device, rounds=rounds, warm_up=warm_up)
    return _report(rates, config, device, compute.precision, steps, rounds)


def random_faces(count: int, size: int) -> FaceSplit:
    """A split of noise, uint8 (size, size, 3), over the canonical expressions."""
    rng = np.random.default_rng(derive_seed(0, "bench"))
    pixels = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    samples = (FaceSample(f"{i:06d}", pixels[i], i % len(CANONICAL)) for i in range(count))
    return FaceSplit("noise", "train", CANONICAL, tuple(samples))


def _backbone(config: TrainConfig) -> Backbone:
    model = config.model
    return create_backbone(
        model.backbone, image_size=model.image_size, stem=model.stem, **model.backbone_options
    )


def _write(split: FaceSplit, folder: Path) -> list[Path]:
    """The images as JPEG files, as face datasets come."""
    files = []
    for sample in split.samples:
        files.append(folder / f"{sample.name}.jpg")
        Image.fromarray(decode(sample.source)).save(files[-1], quality=95)
    return files


def _report(
    rates: dict[str, Rate],
    config: TrainConfig,
    device: torch.device,
    precision: str,
    steps: int,
    rounds: int,
) -> dict[str, Any]:
    speed = {name: rate.images_per_second for name, rate in rates.items()}
    report: dict[str, Any] = {
        **{name: round(value, 2) for name, value in speed.items()},
        "loop_over_bare": round(speed["loop"] / speed["bare"], 4),
    }
    if "reference_style" in speed:
        report["loop_over_reference"] = round(speed["loop"] / speed["reference_style"], 4)
    return {
        **report,
        "unit": "images/s",
        "detail": {name: rate.to_dict() for name, rate in rates.items()},
        "settings": {
            "backbone": config.model.backbone,
            "image_size": config.model.image_size,
            "batch_size": config.optim.batch_size,
            "optimizer": config.optim.name,
            "precision": precision,
            "compile": config.compile,
            "cuda_graphs": config.cuda_graphs,
            "device": str(device),
            "threads": torch.get_num_threads(),
            "steps": steps,
            "rounds": rounds,
        },
        "machine": machine(),
        "versions": package_versions(),
    }
