"""Stage 1 of two: the image encoder learns attributes, and leaves its weights for stage 2.

RUN/pretrain/image_side.safetensors   encoder and attention, once the stage is done
RUN/pretrain/attributes.json          values, and accuracy on the validation split
RUN/pretrain/log.jsonl, checkpoints/  as of any run
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ke2nt.checkpoints.tensor_files import read_safetensors, write_safetensors
from ke2nt.config.schema import TrainConfig
from ke2nt.data.preprocessing import Preprocessing
from ke2nt.data.tensors import FaceTensors
from ke2nt.losses.attributes import MISSING, AttributeLoss
from ke2nt.models.attribute_heads import AttributeHeads
from ke2nt.runtime.distributed import barrier, gather_rows, is_main
from ke2nt.runtime.seeding import derive_seed, seed_everything
from ke2nt.training.attribute_labels import attribute_labels, attribute_values
from ke2nt.training.checkpoint import Progress, latest_checkpoint
from ke2nt.training.optimizer import parameter_groups
from ke2nt.training.recognition import Trainer
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.setup import trainer_parts, untrained_model
from ke2nt.training.training_data import TrainingData

if TYPE_CHECKING:
    from accelerate import Accelerator

__all__ = ["AttributeTrainer", "pretrain"]

_WEIGHTS = "image_side.safetensors"
_FACTS = "attributes.json"


@dataclass
class AttributeTrainer(Trainer):
    """Trains the image side of a model, with heads for attributes in the place of its own."""

    def losses(
        self, images: Tensor, labels: Tensor, progress: Progress
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean over the stages of the loss of their attributes.

        Args:
            images: (B, 3, S, S), augmented and normalized.
            labels: (B, A) int64, `MISSING` where not known.
            progress: Where training stands.

        Returns:
            The scalar to minimize, and the cross-entropy of each attribute, detached.
        """
        assert self.extra is not None
        with self.accelerator.autocast():
            stages = self.extra(self.model.stage_features(images).pooled)
        labels = gather_rows(labels)
        found = [AttributeLoss()(output.map(gather_rows), labels) for output in stages]
        total = torch.stack([total for total, _ in found]).mean()
        names = found[0][1]
        return total, {
            name: torch.stack([parts[name] for _, parts in found]).mean() for name in names
        }

    def _record(self, progress: Progress) -> dict[str, Any]:
        """The epoch's losses; which epoch is kept is not chosen, it is the last."""
        return self._facts(progress)


def pretrain(
    config: TrainConfig,
    run: RunDirectory,
    data: TrainingData,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    *,
    quiet: bool = False,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Train stage 1, go on with it, or read what it left; then seed anew for stage 2.

    Args:
        config: The run's configuration, with `pretrain`.
        run: The run's directory.
        data: The data of stage 2; the same images and splits serve both.
        accelerator: Device and precision.
        preprocessing: From pixels to the input.
        quiet: No progress on stderr.

    Returns:
        Tensors of the encoder and its attention by their names in a model, and the facts of
        attributes.json.

    Raises:
        DataError: The faces do not have an attribute.
        TrainingStopped: Ctrl-C; the state has been saved.
    """
    own = RunDirectory(run.path / "pretrain")
    if not (own.path / _FACTS).is_file():
        _train(config, own, data, accelerator, preprocessing, quiet)
    barrier()
    seed_everything(config.seed)  # stage 2 begins alike, whether stage 1 ran just now or long ago
    return read_safetensors(own.path / _WEIGHTS), own.read(_FACTS)


def _train(
    config: TrainConfig,
    own: RunDirectory,
    data: TrainingData,
    accelerator: Accelerator,
    preprocessing: Preprocessing,
    quiet: bool,
) -> None:
    assert config.pretrain is not None
    values = attribute_values(data.train.split, config.pretrain.attributes, config.pretrain.missing)
    stage = _stage_config(config)
    seed_everything(derive_seed(config.seed, "pretrain"))
    targets = attribute_labels(data.train.split, values)
    model = untrained_model(stage, data.classes, preprocessing)
    own_data = replace(data, targets=targets)
    parts = trainer_parts(stage, own, own_data, model, accelerator, quiet=quiet)
    sizes = {name: len(known) for name, known in values.items()}
    heads = AttributeHeads(model.stage_widths, sizes).to(accelerator.device)
    for group in parameter_groups(dict(heads.named_parameters()), stage.optim):
        parts["optimizer"].add_param_group(group)
    trainer = AttributeTrainer(**parts, extra=heads)
    checkpoint = latest_checkpoint(own.checkpoints)
    progress = trainer.fit(trainer.restore(checkpoint) if checkpoint else Progress())
    accuracy = _accuracy(trainer.model.eval(), heads.eval(), data.val, values)
    if not is_main():
        return
    state = trainer.model.state_dict()
    image_side = {k: v for k, v in state.items() if k.startswith(("backbone.", "branches."))}
    write_safetensors(own.path / _WEIGHTS, image_side, {}, dtype=torch.float32)
    facts = {
        name: {
            "values": list(known),
            "labeled": int((targets[:, i] != MISSING).sum()),
            "accuracy": accuracy[name],
        }
        for i, (name, known) in enumerate(values.items())
    }
    own.write(
        _FACTS,
        {
            "attributes": facts,
            "split": data.val.split.split,
            "epochs": stage.optim.epochs,
            "seconds": round(sum(r["seconds"] for r in progress.records), 1),
        },
    )


def _stage_config(config: TrainConfig) -> TrainConfig:
    """The configuration of stage 1: its epochs and rate, no averaging, images not mixed."""
    assert config.pretrain is not None
    optim = config.optim
    epochs = config.pretrain.epochs
    changes = {
        "epochs": epochs,
        "warmup_epochs": optim.warmup_epochs if optim.warmup_epochs < epochs else 0.0,
        "lr": config.pretrain.lr or optim.lr,
        "ema": None,
    }
    return config.model_copy(
        update={
            "optim": optim.model_copy(update=changes),
            "augment": config.augment.model_copy(update={"mixup": 0.0, "cutmix": 0.0}),
            "data": config.data.model_copy(update={"sampling": "natural"}),
        }
    )


@torch.inference_mode()
def _accuracy(
    model: Any, heads: AttributeHeads, images: FaceTensors, values: Mapping[str, tuple[str, ...]]
) -> dict[str, float | None]:
    """Share of right answers for each attribute, the stages averaged; None without labels."""
    labels = attribute_labels(images.split, values)
    device = next(model.parameters()).device
    right = dict.fromkeys(values, 0)
    known = dict.fromkeys(values, 0)
    for batch in images.batches(256):
        inputs = model.preprocessing.normalize(batch.pixels.to(device))
        stages = heads(model.stage_features(inputs).pooled)
        for i, name in enumerate(values):
            logits = torch.stack([output.logits[name] for output in stages]).mean(dim=0)
            guess = logits.argmax(dim=1).cpu()
            own = labels[batch.indices, i]
            right[name] += int(((guess == own) & (own != MISSING)).sum())
            known[name] += int((own != MISSING).sum())
    return {name: right[name] / known[name] if known[name] else None for name in values}
