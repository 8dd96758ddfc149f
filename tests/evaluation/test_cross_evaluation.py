"""Models × datasets: which target is meant, what a failure costs, and robustness."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from ke2nt.data.corruption import corrupt
from ke2nt.data.images import decode
from ke2nt.datasets.catalog import get_reader
from ke2nt.errors import ConfigError, DataError
from ke2nt.evaluation.cross_dataset import cross_evaluate
from ke2nt.evaluation.evaluate_model import evaluate_model
from ke2nt.evaluation.robustness import decode_to_memory, evaluate_robustness
from ke2nt.evaluation.targets import Target, disambiguate_targets
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.load import load_model
from ke2nt.plots.matrix_plots import plot_cross_evaluation, plot_robustness
from ke2nt.runtime.renamed import RenamedWarning

PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """A dataset with contempt and without fear."""
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for name in ("neutral", "happiness", "contempt"):
        for split in ("train", "val"):
            (root / split / name).mkdir(parents=True)
            for i in range(5):
                pixels = rng.integers(0, 256, (24, 24, 3), "u1")
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A model without contempt, and one without contempt and with fear and anger."""
    folder = tmp_path_factory.mktemp("models")
    label_sets = {"a": ("happiness", "neutral"), "b": ("neutral", "happiness", "fear", "anger")}
    for seed, (name, classes) in enumerate(label_sets.items()):
        torch.manual_seed(seed)
        LinearClassifier(classes, "test_resnet", 24).save_pretrained(folder / name)
    return [str(folder / name) for name in label_sets]


def on(root, **more):
    return Target("folder", str(root), **more)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("drawn", Target("drawn", options={})),
        (
            "ferplus=/data/a,b=c/x,split=val,rule=majority",
            Target("ferplus", "/data/a", "val", {"b": "c/x", "rule": "majority"}),
        ),
        (
            "folder=C:\\faces, old,classes=[a, b],limit=3,as=home",
            Target("folder", "C:\\faces, old", None, {"classes": ["a", "b"]}, 3, "home"),
        ),
        ("ckplus=x,fold=0", Target("ckplus", "x", None, {"fold": 0})),
        ("drawn,style=[ink, photo]", Target("drawn", options={"style": ["ink", "photo"]})),
    ],
)
def test_valid_targets(text, target):
    assert Target.parse(text) == target


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fer+=/x", "'ferplus'|NAME is one of"),
        ("ferpls=/x", "Did you mean 'ferplus'"),
        ("folder=/x,limit=0", "limit must be a positive integer"),
        ("folder=/x,classes=[a", "cannot be read"),
        ("", "names no dataset"),
    ],
)
def test_invalid_targets(text, words):
    with pytest.raises(ConfigError, match=words):
        Target.parse(text)


def test_default_split(faces, tmp_path):
    assert on(faces).load().split == "val"
    assert on(faces, split="train", limit=4).load().labels().tolist() == [2, 2, 1, 0]
    for name in ("anger", "fear"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes((faces / "val/neutral/0.png").read_bytes())
    assert on(tmp_path).load().split == "all"
    for name in ("one", "two"):
        (tmp_path / "more" / name / "anger").mkdir(parents=True)
        (tmp_path / "more" / name / "anger" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="missing split for folder; expected split= one of"):
        on(tmp_path / "more").load()


def test_targets_are_disambiguated():
    kinds = [Target("corruptions", "x", "val", {"kind": kind}) for kind in ("jpeg", "contrast")]
    names = [target.name for target in disambiguate_targets([*kinds, Target("folder")])]
    assert names == ["corruptions val (kind jpeg)", "corruptions val (kind contrast)", "folder"]
    with pytest.raises(ConfigError, match=r"two datasets have the name 'folder'.*as=NAME"):
        disambiguate_targets([Target("folder", "a"), Target("folder", "b")])


def test_cells_match_evaluate_model(models, faces):
    targets = [on(faces, label="all"), on(faces, label="few", limit=4)]
    result = cross_evaluate(models, targets, device="cpu", bootstrap=50)
    assert not result.failed
    assert [(c.model, c.target) for c in result.cells] == [
        (model, target) for target in ("all", "few") for model in models
    ]
    for model in models:
        expected = evaluate_model(
            load_model(model), targets[0].load(), policy="drop", device="cpu", bootstrap=50
        )
        cell = result.get_cell(model, "all")
        assert cell.evaluation.to_dict() == expected.to_dict()
        assert cell.evaluation.dropped == {"contempt": 5}
        assert cell.evaluation.report.n == 10
        assert not cell.home
    assert result.get_cell(models[1], "all").evaluation.mapping.unused == ("fear", "anger")
    assert result.get_cell(models[0], "few").evaluation.report.n < 10
    assert json.loads(json.dumps(result.to_dict()))["targets"][1]["limit"] == 4


def test_merge_applies_to_pairs_with_both_classes(models, faces):
    result = cross_evaluate(
        models, [on(faces)], merge={"contempt": "anger"}, device="cpu", bootstrap=0
    )
    sizes = [cell.evaluation.report.n for cell in result.cells]
    assert sizes == [10, 15]
    assert result.cells[1].evaluation.mapping.merged == {"contempt": "anger"}


def test_failure_affects_only_its_cells(models, faces, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    seen = []
    names = [models[0], str(tmp_path / "broken"), str(tmp_path / "absent")]
    targets = [on(faces), on(tmp_path / "nothing", label="nothing")]
    result = cross_evaluate(
        names,
        targets,
        device="cpu",
        bootstrap=0,
        on_cell=lambda now: seen.append(len(now.cells)),
        notes=lambda name, model, split: [f"{len(model.classes)} {split.split}"],
    )
    assert seen == [1, 2, 3, 4, 5, 6]
    assert len(result.failed) == 5
    assert result.get_cell(models[0], "folder").notes == ("2 val",)
    assert "no saved model" in result.get_cell(names[2], "folder").error
    assert "layout of folder" in result.get_cell(models[0], "nothing").error
    strict = cross_evaluate(models, targets[:1], policy="strict", device="cpu", bootstrap=0)
    assert all("label sets differ" in cell.error for cell in strict.cells)
    assert plot_cross_evaluation(result, ["a", "b", "c"]).startswith(PNG)


def test_programming_errors_are_not_hidden(models, faces):
    with pytest.raises(TypeError):
        cross_evaluate(models, [on(faces)], no_such_option=1)


def test_home_dataset_is_marked(models, faces):
    model = load_model(models[0])
    model.card = {"data": {"name": "folder"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ke2nt.evaluation.cross_dataset.load_model", lambda name: model)
        result = cross_evaluate(["m"], [on(faces)], device="cpu", bootstrap=0)
    assert result.cells[0].home
    svg = plot_cross_evaluation(result, ["m"], format="svg").decode()
    assert "own dataset" in svg


def test_robustness_matches_evaluation_under_each_corruption(models, faces):
    model, split = load_model(models[0]), on(faces).load()
    options = {"policy": "drop", "device": "cpu", "bootstrap": 0}
    seen = []
    result = evaluate_robustness(
        model,
        split,
        kinds=("jpeg", "occlusion"),
        severities=(1, 5),
        seed=3,
        on_cell=lambda now: seen.append(len(now.cells)),
        **options,
    )
    assert seen == [0, 1, 2, 3, 4]
    for (kind, severity), cell in result.cells.items():
        alone = evaluate_model(model, corrupt(split, kind, severity, seed=3), **options)
        assert cell.report.to_dict() == alone.report.to_dict()
    values = [cell.report.uar for cell in result.cells.values()]
    facts = json.loads(json.dumps(result.to_dict()))
    assert facts["mean"]["uar"] == pytest.approx(np.mean(values))
    assert facts["by_kind"]["jpeg"]["uar"] == pytest.approx(np.mean(values[:2]))
    assert facts["by_severity"]["5"]["uar"] == pytest.approx(np.mean(values[1::2]))
    assert facts["clean"]["n"] == 10
    assert plot_robustness(result).startswith(PNG)


def test_only_small_sets_are_decoded_to_memory(faces, tmp_path):
    (tmp_path / "anger").mkdir()
    source = faces / "val" / "neutral" / "0.png"
    (tmp_path / "anger" / "a.png").write_bytes(source.read_bytes())
    (tmp_path / "anger" / "b.png").write_bytes(b"broken")
    Image.new("RGB", (300, 300)).save(tmp_path / "anger" / "c.png")
    split = get_reader("folder", tmp_path).load("all")
    small, broken, large = (sample.source for sample in decode_to_memory(split).samples)
    assert np.array_equal(small, decode(source))
    assert (broken, large) == (split.samples[1].source, split.samples[2].source)
    assert decode_to_memory(split, limit=1000) is split


def test_old_name_of_robustness_warns(monkeypatch):
    # an earlier test of this process may have used the name, which warns on first use alone
    monkeypatch.delattr("ke2nt.evaluation.robustness.robustness", raising=False)
    with pytest.warns(RenamedWarning, match="evaluate_robustness"):
        from ke2nt.evaluation.robustness import robustness
    assert robustness is evaluate_robustness
