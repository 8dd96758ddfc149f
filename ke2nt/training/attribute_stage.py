"""Stage 1 of two: the image encoder learns attributes, and leaves its weights for stage 2.

RUN/pretrain/image_side.safetensors   encoder and attention, once the stage is done
RUN/pretrain/attributes.json          values, and accuracy on the validation split
RUN/pretrain/log.jsonl, checkpoints/  as in any run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ke2nt.config.schema import TrainConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.tensors import FaceTensors
from ke2nt.losses.attributes import MISSING
from ke2nt.models.attribute_heads import AttributeHeads
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.distributed import barrier, is_main
from ke2nt.runtime.seeding import derive_seed, seed_everything
from ke2nt.runtime.sharding import gather_state
from ke2nt.runtime.tensor_files import read_safetensors, write_safetensors
from ke2nt.training.attribute_task import (
    AttributeTask,
    encode_attributes,
    find_attribute_values,
)
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.compute import EVAL_BATCH_SIZE, Compute
from ke2nt.training.display import Display
from ke2nt.training.engine import Engine
from ke2nt.training.initial_model import build_initial_model
from ke2nt.training.optimizer import parameter_groups
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import build_augmenter, build_state
from ke2nt.training.training_data import TrainingData

__all__ = ["pretrain"]

_WEIGHTS = "image_side.safetensors"
_FACTS = "attributes.json"
_IMAGE_SIDE = ("backbone.", "branches.")


def pretrain(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    compute: Compute,
    preprocessing: Preprocessing,
    *,
    quiet: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train stage 1, resume it, or read its result; then seed again for stage 2.

    Args:
        config: Configuration of the run, with `pretrain`.
        run: Directory of the run.
        data: Data of stage 2; both stages use the same images and splits.
        compute: Device and precision.
        preprocessing: From pixels to the input.
        quiet: Show no progress.

    Returns:
        Tensors of the encoder and its attention by their names in a model, and the content of
        attributes.json.

    Raises:
        DataError: The faces do not have an attribute.
        TrainingStopped: Ctrl-C or SIGTERM; the state is saved.
    """
    stage_run = RunDirectory(run.path / "pretrain")
    if not (stage_run.path / _FACTS).is_file():
        _train(config, stage_run, data, compute, preprocessing, quiet)
    barrier()

    # stage 2 starts from the same random state, whether stage 1 ran now or earlier
    seed_everything(config.seed)
    return read_safetensors(stage_run.path / _WEIGHTS), stage_run.read(_FACTS)


def _train(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    compute: Compute,
    preprocessing: Preprocessing,
    quiet: bool,
) -> None:
    """Train the stage to its end and write its files."""
    assert config.pretrain is not None
    values = find_attribute_values(
        data.train.split, config.pretrain.attributes, config.pretrain.missing
    )
    stage = _stage_config(config)
    seed_everything(derive_seed(config.seed, "pretrain"))
    data = replace(data, targets=encode_attributes(data.train.split, values))

    task = _build_task(stage, data, compute, preprocessing, values)
    engine = Engine(task, stage, run, data, Display(quiet=quiet))
    progress = engine.fit(engine.restore(latest_checkpoint(run.checkpoints)))

    model = task.state.model.eval()
    accuracy = _accuracy(model, task.heads.eval(), data.val, values)
    tensors = gather_state(model)
    if is_main():
        _write(run, task, tensors, values, accuracy, data, progress)


def _build_task(
    stage: TrainConfig,
    data: TrainingData,
    compute: Compute,
    preprocessing: Preprocessing,
    values: Mapping[str, tuple[str, ...]],
) -> AttributeTask:
    # the model's own head is there, but gets no gradient
    model = build_initial_model(stage, data.classes, preprocessing)
    state = build_state(stage, model, compute, method="stage_features")

    # the heads learn at the rate of the model's head
    sizes = {name: len(known) for name, known in values.items()}
    heads = AttributeHeads(model.stage_widths, sizes).to(compute.device)
    for group in parameter_groups(dict(heads.named_parameters()), stage.optim):
        state.optimizer.add_param_group(group)
    return AttributeTask(
        config=stage,
        state=replace(state, extra=heads),
        compute=compute,
        heads=heads,
        targets=data.targets,
        augmenter=build_augmenter(stage, model, compute),
    )


def _stage_config(config: TrainConfig) -> TrainConfig:
    """The configuration of stage 1: its epochs and learning rate, no average, no mixed images."""
    assert config.pretrain is not None
    optim, epochs = config.optim, config.pretrain.epochs
    optim_changes = {
        "epochs": epochs,
        "warmup_epochs": optim.warmup_epochs if optim.warmup_epochs < epochs else epochs / 2,
        "lr": config.pretrain.lr or optim.lr,
        "ema": None,
    }
    return config.model_copy(
        update={
            "optim": optim.model_copy(update=optim_changes),
            "augment": config.augment.model_copy(update={"mixup": 0.0, "cutmix": 0.0}),
            "data": config.data.model_copy(update={"sampling": "natural"}),
        }
    )


def _write(
    run: RunDirectory,
    task: AttributeTask,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, tuple[str, ...]],
    accuracy: Mapping[str, float | None],
    data: TrainingData,
    progress: Progress,
) -> None:
    """Write the weights, then the facts, whose file says that the stage is done."""
    image_side = {name: value for name, value in tensors.items() if name.startswith(_IMAGE_SIDE)}
    write_safetensors(run.path / _WEIGHTS, image_side, {}, dtype=torch.float32)

    # for each attribute: its classes, how many faces have it, and how well it was learned
    attributes = {
        name: {
            "values": list(known),
            "labeled": int((data.targets[:, i] != MISSING).sum()),
            "accuracy": accuracy[name],
        }
        for i, (name, known) in enumerate(values.items())
    }
    facts = {
        "attributes": attributes,
        "split": data.val.split.split,
        "epochs": task.optim.epochs,
        "seconds": progress.seconds(),
    }
    run.write(_FACTS, facts)


@torch.inference_mode()
def _accuracy(
    model: ExpressionModel,
    heads: AttributeHeads,
    images: FaceTensors,
    values: Mapping[str, tuple[str, ...]],
) -> dict[str, float | None]:
    """Share of correct predictions of each attribute, stages averaged; None without labels."""
    labels = encode_attributes(images.split, values)
    device = next(model.parameters()).device
    correct, labeled = dict.fromkeys(values, 0), dict.fromkeys(values, 0)

    for batch in images.batches(EVAL_BATCH_SIZE):
        inputs = model.preprocessing.normalize(batch.pixels.to(device))
        stages = heads(model.stage_features(inputs).pooled)

        # (B, V) logits of each attribute, averaged over the stages
        for i, name in enumerate(values):
            mean_logits = torch.stack([output.logits[name] for output in stages]).mean(dim=0)
            predicted = mean_logits.argmax(dim=1).cpu()
            expected = labels[batch.indices, i]
            correct[name] += int(((predicted == expected) & (expected != MISSING)).sum())
            labeled[name] += int((expected != MISSING).sum())

    return {name: correct[name] / n if n else None for name, n in labeled.items()}
