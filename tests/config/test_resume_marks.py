"""Which keys of a configuration may change when a run is resumed."""

from __future__ import annotations

import pytest

from ke2nt.config.adapt import AdaptConfig
from ke2nt.config.gan import FesganConfig
from ke2nt.config.resume import Change, config_changes
from ke2nt.config.schema import TrainConfig


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (TrainConfig, {"device": "cpu", "precision": "fp32", "keep_checkpoints": 9}),
        (TrainConfig, {"data": {"root": "elsewhere", "workers": 0, "memory": "lazy"}}),
        (TrainConfig, {"optim": {"not_finite": "skip"}, "text": {"cache_dir": "cache"}}),
        (FesganConfig, {"joint": {"generator": "g"}, "gan": {"optim": {"not_finite": "skip"}}}),
        (AdaptConfig, {"start": "model", "target": {"root": "elsewhere"}}),
    ],
)
def test_paths_and_speed_settings_may_change(kind, changes):
    assert config_changes(kind().model_dump(mode="json"), kind(**changes)) == []


def test_settings_that_affect_results_must_not_change():
    before = TrainConfig().model_dump(mode="json")
    now = TrainConfig(optim={"batch_size": 4}, data={"extra": {"folder": "f", "share": 0.1}})
    assert config_changes(before, TrainConfig(seed=3)) == [Change("seed", 29, 3)]
    assert {change.key for change in config_changes(before, now)} == {
        "optim.batch_size",
        "data.extra",
    }


def test_a_key_within_an_optional_section_may_be_free():
    configs = [TrainConfig(data={"extra": {"folder": folder}}) for folder in ("here", "there")]
    assert config_changes(configs[0].model_dump(mode="json"), configs[1]) == []


def test_file_may_have_another_path_only_if_it_has_moved(tmp_path):
    (tmp_path / "words.yaml").touch()
    configs = [TrainConfig(text={"prompts": str(tmp_path / name)}) for name in ("words.yaml", "b")]
    before = configs[0].model_dump(mode="json")
    assert [change.key for change in config_changes(before, configs[1])] == ["text.prompts"]
    (tmp_path / "words.yaml").unlink()
    assert config_changes(before, configs[1]) == []


def test_keys_that_only_one_version_knows_are_ignored():
    before = TrainConfig().model_dump(mode="json")
    del before["deterministic"]
    assert config_changes({**before, "gone": 1}, TrainConfig(deterministic=True)) == []
