"""Digests, seeds, optional imports, progress and provenance."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import random
import re
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Column

from ke2nt.errors import ConfigError, MissingExtraError
from ke2nt.runtime import devices, progress, provenance
from ke2nt.runtime.devices import resolve_precision, usable_device
from ke2nt.runtime.digest import canonical_json, digest_bytes, digest_file, digest_json
from ke2nt.runtime.optional import import_optional
from ke2nt.runtime.progress import count_progress, track
from ke2nt.runtime.seeding import derive_seed, seed_everything, seed_step, torch_generator
from ke2nt.runtime.suggest import did_you_mean
from ke2nt.training.display import Display

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2


def test_digest_of_bytes_and_files(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert digest_bytes(b"abc") == digest_file(tmp_path / "x") == ABC


def test_digest_of_json_is_of_the_value():
    assert canonical_json({"b": [1, 2.5], "a": "ä"}) == '{"a":"\\u00e4","b":[1,2.5]}'
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    assert digest_json([1, 2]) != digest_json([2, 1])
    with pytest.raises(ValueError):
        digest_json(float("inf"))


def test_derived_seeds_never_change():
    text = b"29\x1faugment\x1f3\x1f17"
    expected = int(hashlib.sha256(text).hexdigest()[:16], 16) // 2
    assert derive_seed(29, "augment", 3, 17) == expected == 7068055913828287680


def test_derived_seeds_differ():
    parts = [(a, name, b) for a in range(20) for b in range(20) for name in ("x", "y")]
    seeds = {derive_seed(*part) for part in parts}
    assert len(seeds) == len(parts)
    assert derive_seed(1, 12) != derive_seed(11, 2)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_generators_repeat_alone():
    first = torch.rand(3, generator=torch_generator(1, "a", 2))
    torch.rand(5)
    assert torch.equal(first, torch.rand(3, generator=torch_generator(1, "a", 2)))
    assert not torch.equal(first, torch.rand(3, generator=torch_generator(1, "a", 3)))


@pytest.mark.parametrize("seed", [0, 29, 2**40])
def test_seed_everything(seed):
    def draw():
        seed_everything(seed)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw() == draw()


def test_seed_step_equals_torch_manual_seed(monkeypatch):
    torch.manual_seed(7)
    expected = torch.rand(3)
    looks = []
    monkeypatch.setattr("traceback.format_stack", lambda: looks.append(1) or [])
    for _ in range(3):
        seed_step(7, torch.device("cpu"))
        assert torch.equal(torch.rand(3), expected)
    assert not looks  # torch.manual_seed looks, once for each kind of device


def test_optional_import_gives_the_module():
    assert import_optional("json.decoder", extra="x", purpose="y") is json.decoder


def test_missing_package_has_its_install_command():
    with pytest.raises(MissingExtraError, match=r"no_such_package is .* 'ke2nt\[offline\]'"):
        import_optional("no_such_package.part", extra="offline", purpose="new words")


def test_broken_package_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "broken_package_x.py").write_text("import what_it_needs_x")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs_x"):
        import_optional("broken_package_x", extra="x", purpose="y")


def test_package_without_a_system_library_is_an_error_in_words(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("raise ImportError('libGL.so.1: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"half_installed, needed for y, .*libGL.*--force-rein"):
        import_optional("half_installed", extra="x", purpose="y")


@pytest.mark.parametrize(("user", "value"), [(None, "1"), ("0", "0")])
def test_onnxruntime_reports_nothing_to_its_maker(monkeypatch, user, value):
    monkeypatch.setenv("ORT_DISABLE_TELEMETRY", user or "")
    if user is None:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    import_optional("onnxruntime", extra="predict", purpose="finding faces")
    assert os.environ["ORT_DISABLE_TELEMETRY"] == value


@pytest.mark.parametrize("quiet", [True, False])
def test_track_passes_everything_on(quiet, capfd):
    assert list(track(iter(range(5)), "faces", quiet=quiet)) == list(range(5))
    assert capfd.readouterr() == ("", "")


def test_track_reports_plain_lines_on_stderr(monkeypatch, capfd):
    clock = iter(range(0, 1000, 12))  # 12 seconds an item
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    list(track(range(8), "faces"))
    list(track(iter("abc"), "more"))
    assert capfd.readouterr() == (
        "",
        "faces: 38 % of 8, 0:01:00 left\nfaces: 75 % of 8, 0:00:24 left\nmore: 3 done\n",
    )


def test_steps_of_unknown_number_are_counted(monkeypatch, capfd):
    clock = iter(range(0, 1000, 12))
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    for quiet in (False, True):
        with count_progress("searching", quiet=quiet) as count:
            for _ in range(7):
                count()
    assert capfd.readouterr() == ("", "searching: 3 done\nsearching: 6 done\n")


def test_training_reports_a_line_every_half_minute(monkeypatch, capfd):
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr(progress, "monotonic", lambda: next(clock))
    display = Display()
    with display.show(epochs=2, steps_per_epoch=5):
        for done in range(3, 7):  # two steps were done before
            display.step(done, done // 5, None)
    assert capfd.readouterr() == (
        "",
        "epoch 1/2: 40 % of 10, 0:04:00 left\nepoch 2/2: 60 % of 10, 0:01:47 left\n",
    )


def test_bars_show_percentage_and_time_left_in_80_columns(capsys):
    note = "total 1.234  cross_entropy 0.987  neutral 0.123  orthogonality 0.045"
    console = Console(width=80, force_terminal=True)
    columns = [
        *progress.bar_columns("epoch {task.fields[epoch]}"),
        TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True, ratio=1)),
    ]
    bar = Progress(*columns, console=console, expand=True)
    bar.add_task("", total=10, completed=4, epoch="12/30", note=note)
    console.print(bar.get_renderable())
    (line,) = capsys.readouterr().out.splitlines()
    plain = re.sub(r"\x1b\[[\d;]*m", "", line)
    assert len(plain) <= 80
    assert "epoch 12/30" in plain
    assert " 40 % " in plain
    assert "-:--:--" in plain
    assert "total 1.234" in plain


def test_did_you_mean():
    assert did_you_mean("ferpuls", ["rafdb", "ferplus"]) == "Did you mean 'ferplus'?"
    assert did_you_mean("xyz", ["rafdb", "ferplus"]) is None
    assert did_you_mean("x", []) is None


def test_provenance_is_plain_json_without_the_host():
    value = provenance.provenance()
    text = json.dumps(value, allow_nan=False)
    assert {"ke2nt", "python", "torch", "numpy"} <= set(value["versions"])
    assert value["machine"]["cores"] >= 1
    if len(platform.node()) > 4:
        assert platform.node() not in text


def test_only_requested_devices_are_tried(monkeypatch):
    assert usable_device("cpu") == usable_device(torch.device("cpu")) == torch.device("cpu")
    for name in ("gpu", "cuda:99", "meta:x"):
        with pytest.raises(ConfigError, match=f"'{name}' cannot be used here"):
            usable_device(name)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "empty", None)  # a process of a launcher has its own GPU, not this
    assert usable_device(None) == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_device(None) == torch.device("cpu")


@pytest.mark.parametrize(
    ("precision", "native", "resolved"),
    [
        ("auto", True, "bf16"),
        ("auto", False, "fp32"),
        ("fp32", True, "fp32"),
        ("bf16", False, "bf16"),
    ],
)
def test_auto_precision_is_bf16_where_it_is_native(monkeypatch, precision, native, resolved):
    monkeypatch.setattr(devices, "computes_in_bf16", lambda device: native)
    assert resolve_precision(precision, torch.device("cpu")) == resolved


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_native_bf16_of_devices(monkeypatch, machine):
    monkeypatch.setattr(devices.platform, "machine", lambda: machine)
    assert devices.computes_in_bf16(torch.device("cpu")) in (True, False)
    assert not devices.computes_in_bf16(torch.device("mps"))
