"""No label of the target is read before the adapted model has been saved."""

from __future__ import annotations

import json

import pytest
from adapted_weights import assert_same_weights, load_weights

from ke2nt.adapt import finish_adaptation as driver
from ke2nt.adapt.adapt_model import adapt
from ke2nt.data.sample import FaceSample
from ke2nt.datasets.folder import ImageFolder
from ke2nt.training.run_directory import RunDirectory


class Sealed(FaceSample):
    """A sample of which only name and image may be read until `open` is set."""

    open = False

    def __getattribute__(self, name):
        if name in ("label", "distribution", "subject", "attributes") and not Sealed.open:
            raise AssertionError(f"training read {name} of the target")
        return super().__getattribute__(name)


@pytest.mark.parametrize("method", ["dmsrl", "entropy", "statistics", "shares"])
def test_training_never_reads_target_labels(tiny, domains, monkeypatch, method):
    read = ImageFolder.read_samples

    def sealed(self, split):
        kind = Sealed if self.root == domains / "target" else FaceSample
        return (kind(s.name, s.source, s.label) for s in read(self, split))

    monkeypatch.setattr(ImageFolder, "read_samples", sealed)
    monkeypatch.setattr(Sealed, "open", False)
    compare, config = driver.compare_models, tiny(f"adapt.method={method}", "optim.epochs=1")
    trained = {}

    def then_open(*arguments):
        trained.update(
            load_weights(RunDirectory(config.out))
        )  # the model is final before any label
        Sealed.open = True
        return compare(*arguments)

    monkeypatch.setattr(driver, "compare_models", then_open)
    result = adapt(config, quiet=True)
    assert result.after is not None
    assert_same_weights(trained, load_weights(result))


@pytest.mark.parametrize("method", ["dmsrl", "entropy"])
def test_other_target_labels_give_the_same_weights(tiny, domains, tmp_path, method):
    paths = sorted((domains / "target").rglob("*.png"))
    names = ["neutral", "happiness", "anger"]
    results = []
    for turn in (0, 1):
        lines = [f"{p},{names[(names.index(p.parent.name) + turn) % 3]}" for p in paths]
        sheet = tmp_path / f"{turn}.csv"
        sheet.write_text("\n".join(["path,label", *lines]) + "\n")
        options = [f"adapt.method={method}", "optim.epochs=1", "adapt.choose=information"]
        options += ["target.name=manifest", f"target.root={sheet}"]
        results.append(adapt(tiny(*options, out=f"run{turn}"), quiet=True))
    one, two = results
    assert_same_weights(load_weights(one), load_weights(two))
    assert one.changes == two.changes
    assert one.after.report.nll != two.after.report.nll


@pytest.mark.parametrize(
    ("choose", "words"), [("information", "mutual information"), ("source", "source images")]
)
def test_epoch_is_chosen_without_labels_and_the_rule_is_stated(tiny, choose, words):
    result = adapt(tiny(f"adapt.choose={choose}", "optim.epochs=3"), quiet=True)
    log = [json.loads(x) for x in (result.run.path / "log.jsonl").read_text().splitlines()]
    part = {"information": ("target", "information"), "source": ("val", "uar")}[choose]
    values = [record[part[0]][part[1]] for record in log]
    assert result.run.read("run.json")["best_epoch"] == 1 + values.index(max(values))
    assert words in result.facts["selection"]
