"""A model sharded over two processes: the same run as with a whole model in one process."""

from __future__ import annotations

import json

import pytest
import torch
from command_line import run_ke2nt_twice
from safetensors.torch import load_file
from timm import create_model
from tiny_towers import vision_language_model
from training_runs import prepared

from ke2nt.config.load import config_to_yaml
from ke2nt.errors import ConfigError, TrainingError
from ke2nt.models.lora import is_lora_parameter
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.sharding import find_blocks
from ke2nt.training.train_recognizer import train

TOWER = (
    "model.backbone=test_vit",
    "model.backbone_options={patch_size: 8}",
    "model.dropout=0",
    "text.learn_logit_scale=true",
    "optim.epochs=2",
    "optim.name=sgd",
    "optim.lr=0.01",
    "optim.clip=1",
    "optim.ema=0.9",
)


def train_both(tiny, tmp_path, *options):
    """Train over two processes, stopped and resumed, and in one; return both."""
    config = tiny(*options, "sharding=full", out="sharded")
    path = tmp_path / "sharded.yaml"
    path.write_text(config_to_yaml(config), encoding="utf-8")
    before = "import ke2nt.cli.main, sharded_runs; "
    before += f"ke2nt.cli.main.main = lambda: sharded_runs.train_sharded({str(path)!r})"
    done = run_ke2nt_twice("train", before=before)
    assert [process.returncode for process in done] == [0, 0], done[0].stderr + done[1].stderr
    return tmp_path / "sharded", train(tiny(*options, out="alone"), quiet=True)


def assert_same_results(sharded, alone):
    """The same losses, metrics and weights as one process."""
    records = [json.loads(line) for line in (sharded / "log.jsonl").read_text().splitlines()]
    assert len(records) == 2
    for ours, theirs in zip(records, alone.progress.records, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["val"] == pytest.approx(theirs["val"], abs=1e-5)
    metrics = json.loads((sharded / "metrics.json").read_text())
    assert metrics["confusion"] == alone.evaluation.to_dict()["confusion"]
    folders = [run / "model/model.safetensors" for run in (sharded, alone.run.path)]
    assert_close(*map(load_file, folders))


def test_low_rank_changes_of_a_tower_with_checkpointing(tiny, tmp_path):
    spec = vision_language_model(tmp_path, "open_clip-clip")
    tower = (f"model.backbone={spec}", f"text.encoder={spec}", "model.gray=false")
    tuning = ("model.tune=lora", "model.lora={rank: 2}", "model.gradient_checkpointing=true")
    options = [option for option in TOWER if not option.startswith("model.")]
    sharded, alone = train_both(tiny, tmp_path, *options, *tower, *tuning)

    assert_same_results(sharded, alone)
    assert alone.progress.records[0]["loss"] != alone.progress.records[1]["loss"]
    state = load_file(latest_checkpoint(sharded / "checkpoints") / "state.safetensors")
    assert any(is_lora_parameter(name) for name in state if name.startswith("ema."))


def test_sharded_run_resumes_and_equals_a_whole_one(tiny, tmp_path):
    sharded, alone = train_both(tiny, tmp_path, *TOWER)
    assert_same_results(sharded, alone)

    # whole tensors in the checkpoint, which one process loads
    checkpoints = [latest_checkpoint(run / "checkpoints") for run in (sharded, alone.run.path)]
    assert_close(*(load_file(folder / "state.safetensors") for folder in checkpoints))
    engine = prepared(tiny(*TOWER))
    assert engine.restore(checkpoints[0]).epoch == 2

    # each process held about half of the parameters, the average and the optimizer's state
    held = [json.loads((sharded / f"held-{rank}.json").read_text()) for rank in (0, 1)]
    for name in ("model", "ema", "optimizer"):
        parts, total = [h[name]["here"] for h in held], held[0][name]["total"]
        assert sum(parts) == total + 1  # the logit scale is whole in both
        assert max(parts) < 0.51 * total


def assert_close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.allclose(theirs[name], rtol=0, atol=1e-5), name


@pytest.mark.parametrize("option", ["cuda_graphs", "compile"])
def test_options_that_need_whole_models_are_refused(tiny, option):
    with pytest.raises(ConfigError, match=f"sharding=full cannot be combined with {option}=true"):
        tiny("sharding=full", f"{option}=true")


def test_one_process_is_refused_before_anything_is_read(tiny, tmp_path):
    config = tiny("sharding=full", "data.root=nowhere")
    with pytest.raises(TrainingError, match=r"sharded over one process.*found 1 process.*torchrun"):
        train(config, quiet=True)
    assert not (tmp_path / "run").exists()


def test_blocks_come_before_the_stages_that_hold_them():
    options = {"depths": (1, 1, 1, 2), "dims": (8, 8, 8, 8), "num_classes": 0}
    blocks = find_blocks(create_model("convnext_atto", **options))
    kinds = [type(block).__name__ for block in blocks]
    assert kinds == ["ConvNeXtBlock"] * 5 + ["ConvNeXtStage"] * 4
