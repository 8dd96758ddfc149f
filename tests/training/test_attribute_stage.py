"""Two stages in one run: attributes, then expressions; resumed exactly from either."""

from __future__ import annotations

import json
import os
import shutil
import signal

import pytest
import torch
from safetensors.torch import load_file

from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import ConfigError, DataError, TrainingError
from ke2nt.models.load import load_model
from ke2nt.training import engine
from ke2nt.training.attribute_task import encode_attributes, find_attribute_values
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.interrupts import TrainingStopped
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train

CLASSES = ("neutral", "happiness", "anger")


@pytest.fixture(scope="module")
def people(faces):
    """The tiny faces with a visible attribute, one that is often unknown, and a number."""
    rows = ["path,label,split,attr:place,attr:half,attr:code"]
    for split, count in (("train", 14), ("val", 6)):
        for label, name in enumerate(CLASSES):
            for i in range(count):
                half = ("unsure", "low", "high")[i % 3]
                place = ("top", "middle", "bottom")[label]
                rows.append(f"{split}/{name}/{i}.png,{name},{split},{place},{half},{i}{label}")
    path = faces / "people.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def two(tiny, people):
    def make(*overrides, out="run"):
        return tiny(
            "data.name=manifest",
            f"data.root={people}",
            "pretrain={attributes: [place, half], epochs: 2}",
            "model.attention={stages: 2}",
            "optim.epochs=2",
            *overrides,
            out=out,
        )

    return make


def state(path):
    return load_file(latest_checkpoint(path / "checkpoints") / "state.safetensors")


def assert_same(a, b):
    first, second = state(a), state(b)
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_stage_two_starts_from_what_stage_one_learned(two, monkeypatch):
    starts = []
    real = Engine.fit

    def fit(self, progress):
        starts.append({k: v.clone() for k, v in self.task.state.model.state_dict().items()})
        return real(self, progress)

    monkeypatch.setattr(Engine, "fit", fit)
    result = train(two("pretrain.epochs=12"), quiet=True)
    facts = result.run.read("pretrain/attributes.json")
    place, half = (facts["attributes"][name] for name in ("place", "half"))
    assert place["values"] == ["bottom", "middle", "top"]
    assert place["accuracy"] > 0.6  # chance is a third
    assert place["labeled"] == 42
    assert half["values"] == ["high", "low"]
    assert half["labeled"] < 42  # "unsure" is masked
    assert result.run.read("run.json")["pretrain"] == facts
    saved = load_file(result.run.path / "pretrain" / "image_side.safetensors")
    first, second = starts
    names = {name for name in second if name.startswith(("backbone.", "branches."))}
    assert names == saved.keys()
    assert any(name.startswith("branches.") for name in names)
    assert all(torch.equal(second[name].cpu(), saved[name]) for name in names)
    assert any(not torch.equal(first[name].cpu(), saved[name]) for name in names)
    model = load_model(result.run.model)
    assert model.provenance["initial_weights"] == {"pretrain": ["place", "half"]}
    log = [json.loads(line) for line in (result.run.path / "pretrain/log.jsonl").open()]
    assert set(log[0]["loss"]) == {"total", "place", "half"}
    assert log[-1]["loss"]["place"] < log[0]["loss"]["place"]


@pytest.mark.parametrize("stop_at", [3, 10, 12])
def test_two_stage_run_resumes_bit_for_bit(two, monkeypatch, stop_at):
    """42 images in steps of 8: stage 1 has 10 steps, stage 2 as many."""
    whole = train(two("model.dropout=0.1", out="whole"), quiet=True).run
    config = two("model.dropout=0.1", out="stopped")
    steps, real = [0], Engine.train_step

    def step_then_interrupt(self, batch, progress):
        parts = real(self, batch, progress)
        steps[0] += 1
        if steps[0] == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return parts

    monkeypatch.setattr(Engine, "train_step", step_then_interrupt)
    with pytest.raises(TrainingStopped):
        train(config, quiet=True)
    run = RunDirectory(config.out)
    assert (run.path / "pretrain/attributes.json").exists() == (stop_at > 10)
    resumed = train(run.load_config(), resume=True, quiet=True).run
    assert_same(whole.path / "pretrain", resumed.path / "pretrain")
    assert_same(whole.path, resumed.path)


def test_image_found_unreadable_in_stage_one_moves_no_other(two, people, tmp_path, monkeypatch):
    """A run resumed in stage 2 has not found it yet."""
    root = shutil.copytree(people.parent, tmp_path / "faces")
    (root / "train" / "anger" / "3.png").write_bytes(b"broken")
    changes = f"data.root={root / people.name}", "data.memory=lazy", "optim.epochs=3"
    whole = train(two(*changes, out="whole"), quiet=True).run
    config, real = two(*changes, out="stopped"), engine.save_checkpoint

    def save_then_stop(folder, *args, **options):
        real(folder, *args, **options)
        if "pretrain" not in str(folder):
            raise TrainingError("enough")

    monkeypatch.setattr(engine, "save_checkpoint", save_then_stop)
    with pytest.raises(TrainingError, match="enough"):
        train(config, quiet=True)
    monkeypatch.setattr(engine, "save_checkpoint", real)
    assert_same(whole.path, train(config, resume=True, quiet=True).run.path)


def test_attribute_heads_have_weight_decay(two, monkeypatch):
    groups = []

    def look(self, progress):
        groups.append(self.task.state.optimizer.param_groups)
        raise TrainingError("enough")

    monkeypatch.setattr(Engine, "fit", look)
    with pytest.raises(TrainingError, match="enough"):
        train(two("optim.weight_decay=0.3"), quiet=True)
    found = {(p.ndim > 1, g["weight_decay"]) for g in groups[0] for p in g["params"]}
    assert found == {(True, 0.3), (False, 0.0)}


def test_stage_one_weights_start_other_runs(two, tiny):
    run = train(two(), quiet=True).run
    weights = run.path / "pretrain" / "image_side.safetensors"
    other = train(tiny(f"model.weights={weights}", "optim.epochs=2", out="other"), quiet=True)
    facts = load_model(other.run.model).provenance["initial_weights"]
    assert facts["source"] == "image_side.safetensors"
    assert " 0 missing" in facts["summary"]


def split_of(*attributes):
    return FaceSplit(
        "made up",
        "train",
        CLASSES,
        tuple(FaceSample(str(i), None, 0, attributes=a) for i, a in enumerate(attributes)),
    )


def test_attribute_labels_and_missing_values():
    split = split_of({"sex": "f", "age": "20"}, {"sex": "unsure"}, {"sex": "m", "age": "3"}, {})
    values = find_attribute_values(split, ["age", "sex"], ("unsure",))
    assert values == {"age": ("20", "3"), "sex": ("f", "m")}
    assert encode_attributes(split, values).tolist() == [[0, 0], [-1, -1], [1, 1], [-1, -1]]


def test_attributes_that_cannot_be_learned_are_refused(two, tiny):
    with pytest.raises(DataError, match=r"'height'.*these faces have code, half, place"):
        train(two("pretrain.attributes=[height]"), quiet=True)
    one = split_of({"sex": "f"}, {"sex": "f"})
    with pytest.raises(DataError, match="1 values"):
        find_attribute_values(one, ["sex"], ())
    with pytest.raises(ConfigError, match="pretrain"):
        tiny("pretrain={attributes: []}")
