"""Training end to end on a tiny dataset: what a run leaves, which model it keeps."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from training_runs import assert_same_run, state

from ke2nt.data.preprocessing import Preprocessing
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.pack import pack_dataset
from ke2nt.errors import ModelError, TrainingError
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.models.load import load_model
from ke2nt.training import selection
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.engine import Engine
from ke2nt.training.recognition_task import RecognitionTask
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train
from ke2nt.training.training_data import load_training_data


def test_run_learns_and_leaves_its_files(tiny, with_report):
    result = train(tiny("optim.epochs=6"), quiet=True, command="ke2nt train x")
    run = result.run
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.yaml",
        "begun.json",
        "run.json",
        "split.json",
        "training_images.json",
        "log.jsonl",
        "metrics.json",
        "model",
        "checkpoints",
        "report.html",
    }
    facts = run.read("run.json")
    assert facts["status"] == "finished"
    assert facts["classes"] == ["neutral", "happiness", "anger"]
    assert facts["samples"] == {"train": 42, "val": 18}
    assert facts["provenance"]["seed"] == 29
    assert facts["provenance"]["command"] == "ke2nt train x"
    assert facts["provenance"]["versions"]["torch"] == torch.__version__.split("+")[0]
    records = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert set(records[0]["loss"]) == {"total", "similarity", "transformation", "self_contrast"}
    parts = records[0]["loss"]
    assert parts["total"] == pytest.approx(
        parts["similarity"] + parts["transformation"] + parts["self_contrast"], rel=1e-5
    )
    assert records[-1]["loss"]["total"] < records[0]["loss"]["total"]
    assert result.evaluation.report.accuracy > 0.6  # chance is a third
    metrics = run.read("metrics.json")
    assert metrics["accuracy"] == result.evaluation.report.accuracy
    assert metrics["split"] == "val"
    best = max(r["val"]["uar"] for r in records)
    assert result.progress.best == best
    assert metrics["uar"] == pytest.approx(best)


def test_seed_determines_the_run(tiny):
    a = train(tiny(out="a"), quiet=True).run
    b = train(tiny(out="b"), quiet=True).run
    assert_same_run(a, b)
    c = train(tiny("seed=30", out="c"), quiet=True).run
    assert not torch.equal(state(a)["model.projection.weight"], state(c)["model.projection.weight"])


def test_checkpoint_interval(tiny, monkeypatch):
    seen, real = [], Engine._save

    def save(self, progress):
        seen.append(progress.epoch)
        real(self, progress)

    monkeypatch.setattr(Engine, "_save", save)
    last = "select={rule: last, every: 1}"
    each = train(tiny(last, out="each"), quiet=True).run
    few = train(tiny(last, "checkpoint_every=1000", out="few"), quiet=True).run
    assert seen == [1, 2, 3, 3]
    assert_same_run(each, few)


def test_kept_epoch_always_has_a_checkpoint(tiny, monkeypatch):
    values = iter([0.5, 0.4, 0.6, 0.3, 0.2])
    monkeypatch.setattr(RecognitionTask, "judge", lambda self, model: (next(values), {}))
    monkeypatch.setattr("ke2nt.training.display.Display.epoch", lambda self, record: None)
    changes = "checkpoint_every=1000", "keep_checkpoints=9", "optim.epochs=5"
    run = train(tiny(*changes, "select.rule=best"), quiet=True).run
    assert [path.name[:5] for path in sorted(run.checkpoints.iterdir())] == [
        "00001",
        "00003",
        "00005",
    ]


def test_best_epoch_is_saved_and_checkpoint_is_complete(tiny):
    result = train(tiny("optim.ema=0.9", "model.dropout=0.2"), quiet=True)
    newest = state(result.run)
    assert {name.split(".")[0] for name in newest} == {"model", "ema", "optim"}
    facts = json.loads((latest_checkpoint(result.run.checkpoints) / "state.json").read_text())
    assert facts["progress"]["epoch"] == 3
    assert facts["progress"]["step"] == 0
    kept = load_model(result.run.model)
    assert kept.provenance["epoch"] == result.progress.best_epoch
    if result.progress.best_epoch == 3:
        ema = {k.removeprefix("ema."): v for k, v in newest.items() if k.startswith("ema.")}
        assert all(torch.equal(v, ema[k]) for k, v in kept.state_dict().items() if k in ema)


def test_only_the_newest_checkpoints_are_kept(tiny):
    run = train(tiny("keep_checkpoints=2"), quiet=True).run
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["00002-00000000", "00003-00000000"]


def test_checkpoints_go_when_the_run_has_ended(tiny):
    config = tiny("keep=false", "optim.epochs=2")
    foreign = RunDirectory(config.out).checkpoints / "2024-holidays"
    foreign.mkdir(parents=True)
    run = train(config, quiet=True).run
    assert list(run.checkpoints.iterdir()) == [foreign]
    foreign.rmdir()
    again = train(tiny("keep=false", "optim.epochs=2", out="again"), quiet=True, page=False).run
    assert not again.checkpoints.exists()
    assert load_model(again.path).classes == ("neutral", "happiness", "anger")


def test_a_run_is_finished_only_with_its_card(tiny, monkeypatch):
    def fail(*args, **kwargs):
        raise KeyboardInterrupt

    config = tiny("optim.epochs=1")
    with monkeypatch.context() as patch:
        patch.setattr("ke2nt.training.train_recognizer.update_folder", fail)
        with pytest.raises(KeyboardInterrupt):
            train(config, quiet=True)
    run = RunDirectory(config.out)
    assert not run.finished

    train(config, resume=True, quiet=True)
    assert run.finished
    assert "class_prior" in load_model(run.path).card


def test_recipe_options_work_together(tiny):
    changes = (
        "augment.mixup=0.4",
        "augment.cutmix=1",
        "data.sampling=balanced",
        "optim.layer_decay=0.7",
        "optim.epochs=2",
    )
    first = train(tiny(*changes, out="one"), quiet=True).run
    assert_same_run(first, train(tiny(*changes, out="two"), quiet=True).run)


def test_card_holds_the_size_of_small_training_images(tiny):
    run = train(
        tiny("model.image_size=32", "optim.epochs=1", "optim.warmup_epochs=0"), quiet=True
    ).run
    assert load_model(run.model).card["predict"] == {"face_pixels": 24}
    config = tiny("model.image_size=24")
    data = load_training_data(config, Preprocessing(image_size=24), quiet=True)
    assert data.native_side() is None


def test_packed_images_keep_their_original_size(tiny, faces, tmp_path):
    pack_dataset(get_reader("folder", faces), tmp_path / "packed", 48, quiet=True)
    large = tiny("data.name=packed", f"data.root={tmp_path / 'packed'}", "model.image_size=48")
    plain = tiny("model.image_size=48")
    sides = [load_training_data(c, Preprocessing(48)).native_side() for c in (large, plain)]
    assert sides == [24, 24]


def test_deterministic_applies_to_one_run(tiny):
    train(tiny("deterministic=true", "optim.epochs=2", out="one"), quiet=True)
    assert torch.are_deterministic_algorithms_enabled()
    train(tiny("optim.epochs=2", out="two"), quiet=True)
    assert not torch.are_deterministic_algorithms_enabled()


def test_linear_head_trains_saves_and_loads(tiny):
    run = train(tiny("model.head=linear", "optim.epochs=2"), quiet=True).run
    model = load_model(run.path)
    assert model.bank is None
    assert model.classes == ("neutral", "happiness", "anger")
    assert set(json.loads((run.path / "log.jsonl").read_text().splitlines()[0])["loss"]) == {
        "total",
        "similarity",
    }


def test_initial_weights_are_reported(tiny, capsys):
    first = train(tiny("optim.epochs=2", out="first"), quiet=True).run
    weights = first.model / "model.safetensors"
    second = train(tiny(f"model.weights={weights}", "optim.epochs=2", out="second")).run
    facts = second.read("run.json")["initial_weights"]
    assert facts["source"] == "model.safetensors"
    assert facts["report"]["missing"] == facts["report"]["mismatched"] == []
    assert any(name.startswith("transformation.") for name in facts["report"]["unexpected"])

    assert second.read("run.json")["text"]["encoder"] == "minilm"

    # printed at the start, and in the card
    line = f"initial weights model.safetensors: {facts['summary']}; unexpected: "
    assert line in capsys.readouterr().err
    card = (second.model / "README.md").read_text()
    assert f"**initial weights**: model.safetensors ({facts['summary']})" in card


def test_label_smoothing_reaches_the_loss(tiny):
    plain, smooth = (
        train(tiny("optim.epochs=1", "optim.warmup_epochs=0", *more, out=out), quiet=True)
        for out, more in (("plain", ()), ("smooth", ("loss.label_smoothing=0.3",)))
    )
    first, second = (r.progress.records[0]["loss"] for r in (plain, smooth))
    assert abs(first["similarity"] - second["similarity"]) > 0.01


def test_flip_tta_is_used_in_the_evaluation(tiny):
    changes = "augment.flip=0", "augment.rotate=0", "optim.epochs=2"
    plain = train(tiny(*changes, out="plain"), quiet=True)
    both = train(tiny(*changes, "select.flip_tta=true", out="both"), quiet=True)
    assert both.run.read("metrics.json")["flip_tta"] is True
    assert plain.run.read("metrics.json")["flip_tta"] is False
    model = load_model(both.run.model)
    found = evaluate_model(model, both.data.val, flip_tta=True, precision="fp32", bootstrap=0)
    assert both.evaluation.report.nll == pytest.approx(found.report.nll, abs=1e-6)
    last = both.progress.records[-1]["val"]["nll"], plain.progress.records[-1]["val"]["nll"]
    assert abs(last[0] - last[1]) > 1e-6


def test_selection_on_the_test_split_is_reported(tiny, faces, tmp_path, with_report):
    root = tmp_path / "three"
    shutil.copytree(faces, root)
    shutil.copytree(root / "val", root / "test")
    run = train(tiny(f"data.root={root}", "select.on=test", "optim.epochs=2"), quiet=True).run
    assert "OPTIMISTIC" in run.read("metrics.json")["selection"]["notes"][0]
    assert run.read("metrics.json")["split"] == "test"
    assert "OPTIMISTIC" in run.report.read_text()


@pytest.mark.parametrize(("rule", "optimistic"), [("best", True), ("last", False)])
def test_test_split_as_validation_split_is_reported(tiny, faces, tmp_path, rule, optimistic):
    root = shutil.copytree(faces, tmp_path / "three")
    shutil.copytree(root / "val", root / "test")
    changes = f"data.root={root}", "data.val_split=test", f"select.rule={rule}", "optim.epochs=2"
    run = train(tiny(*changes), quiet=True).run
    assert ("OPTIMISTIC" in str(run.read("metrics.json")["selection"]["notes"])) is optimistic


def test_diverged_model_is_a_training_error(tiny, monkeypatch):
    def nothing_finite(*arguments, **options):
        raise ModelError("the model gives logits that are not finite")

    monkeypatch.setattr(selection, "evaluate_model", nothing_finite)
    with pytest.raises(TrainingError, match=r"diverged \(in .*epoch 1\).*not finite.*optim\.lr"):
        train(tiny(), quiet=True)
