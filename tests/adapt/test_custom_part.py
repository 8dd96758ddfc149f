"""A part of another package, named by its dotted path."""

from __future__ import annotations

import json

import pytest
from command_line import run_ke2nt
from safetensors.torch import load_file

from ke2nt.adapt.adapt_model import adapt
from ke2nt.config.adapt import AdaptConfig
from ke2nt.config.load import config_to_yaml
from ke2nt.errors import ConfigError, ModelError
from ke2nt.training.checkpoint import latest_checkpoint
from ke2nt.training.run_directory import RunDirectory

MODULE = '''
import torch
from torch import nn


class ScaledMeans(nn.Module):
    """Squared distance of the scaled domain means; the scale is learned."""

    def __init__(self, config, context):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(context.dim))

    def forward(self, batch, strength):
        gap = batch.source.embeddings.mean(dim=0) - batch.target.embeddings.mean(dim=0)
        return strength * (self.scale * gap).square().sum()


class RowPart(ScaledMeans):
    needs_single_labels = True

    def forward(self, batch, strength):
        return batch.target.embeddings.mean(dim=1)


def not_a_class(config, context):
    return None
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module `my_parts.alignment` in the current folder; another name for each test."""
    name = f"my_parts_{tmp_path.name}".replace("-", "_")
    package = tmp_path / name
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "alignment.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return f"{name}.alignment"


def read_log(run):
    return [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]


def test_custom_part_is_trained_from_the_command_line(tiny, tmp_path, module):
    path = tmp_path / "mine.yaml"
    method = f"{module}.ScaledMeans"
    path.write_text(config_to_yaml(tiny(f"adapt.method={method}", out="mine")), encoding="utf-8")
    done = run_ke2nt("adapt", path, "--quiet", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["method"] == method

    # its parameters are trained, saved with checkpoints and restored at resume
    run = RunDirectory(tmp_path / "mine")
    assert read_log(run)[-1]["loss"][method] > 0
    state = load_file(latest_checkpoint(run.checkpoints) / "state.safetensors")
    (scale,) = (value for name, value in state.items() if name.endswith("ScaledMeans.scale"))
    assert (scale != 1).any()
    resumed = adapt(run.load_config(AdaptConfig), resume=True, quiet=True)
    assert resumed.facts["method"] == method


def test_custom_part_can_be_weighted_beside_built_in_parts(tiny, module):
    weights = f"adapt.weights={{{module}.ScaledMeans: 0.5, coral: 2}}"
    result = adapt(tiny("adapt.method=source", weights, "optim.epochs=1"), quiet=True)
    assert {f"{module}.ScaledMeans", "coral"} <= read_log(result.run)[0]["loss"].keys()


def test_custom_part_can_turn_mixing_off(tiny, module, monkeypatch):
    from ke2nt.adapt import setup

    mixing = []
    real = AdaptConfig.adaptation_run

    def watch(self, *, mixes):
        mixing.append(mixes)
        return real(self, mixes=mixes)

    monkeypatch.setattr(setup.AdaptConfig, "adaptation_run", watch)
    for name in ("ScaledMeans", "RowPart"):
        config = tiny(f"adapt.method={module}.{name}", "optim.epochs=1", out=name)
        if name == "RowPart":
            with pytest.raises(ModelError, match=r"must return a scalar tensor; found \(14,\)"):
                adapt(config, quiet=True)
        else:
            adapt(config, quiet=True)
    assert mixing == [True, False]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alignment.Missing", "cannot import the adaptation part"),
        ("nowhere.Part", "cannot import the adaptation part"),
        ("alignment.not_a_class", "is not an adaptation part"),
    ],
)
def test_wrong_path_is_refused_before_anything_is_written(tiny, module, name, message):
    path = f"{module.rpartition('.')[0]}.{name}"
    config = tiny(f"adapt.method={path}", "start=null")
    with pytest.raises(ConfigError, match=message):
        adapt(config, quiet=True)
    assert not RunDirectory(config.out).path.exists()


def test_unknown_name_is_refused_by_the_configuration(tiny):
    with pytest.raises(ConfigError, match=r"package\.module\.Name.*Did you mean 'dann'"):
        tiny("adapt.method=dan")
    with pytest.raises(ConfigError, match=r"adapt\.weights.*Did you mean 'coral'"):
        tiny("adapt.weights={corl: 1}")
