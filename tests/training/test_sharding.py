"""A model sharded over two processes: the same run as with a whole model in one process."""

from __future__ import annotations

import json

import pytest
import torch
from command_line import run_ke2nt_twice
from safetensors.torch import load_file
from timm import create_model
from training_runs import prepared

from ke2nt.config.load import config_to_yaml
from ke2nt.errors import ConfigError, TrainingError
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


def test_sharded_run_resumes_and_equals_a_whole_one(tiny, tmp_path):
    config = tiny(*TOWER, "sharding=full", out="sharded")
    path = tmp_path / "sharded.yaml"
    path.write_text(config_to_yaml(config), encoding="utf-8")
    before = "import ke2nt.cli.main, sharded_runs; "
    before += f"ke2nt.cli.main.main = lambda: sharded_runs.train_sharded({str(path)!r})"
    done = run_ke2nt_twice("train", before=before)
    assert [process.returncode for process in done] == [0, 0], done[0].stderr + done[1].stderr
    sharded, alone = tmp_path / "sharded", train(tiny(*TOWER, out="alone"), quiet=True)

    # the same losses, metrics and weights as one process
    records = [json.loads(line) for line in (sharded / "log.jsonl").read_text().splitlines()]
    assert len(records) == 2
    for ours, theirs in zip(records, alone.progress.records, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["val"] == pytest.approx(theirs["val"], abs=1e-5)
    metrics = json.loads((sharded / "metrics.json").read_text())
    assert metrics["confusion"] == alone.evaluation.to_dict()["confusion"]
    folders = [run / "model/model.safetensors" for run in (sharded, alone.run.path)]
    assert_close(*map(load_file, folders))

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
