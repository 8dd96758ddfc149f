"""Files and folders appear complete or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from ke2nt.runtime import atomic

CRASH = """
import os, sys
from pathlib import Path
from ke2nt.runtime import atomic
os.fsync = lambda handle: os._exit(9)
path = Path(sys.argv[1])
if path.suffix:
    atomic.write_bytes(path, b"new" * 1000)
else:
    with atomic.atomic_folder(path) as folder:
        (folder / "part").write_bytes(b"new")
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def run_threads(work, count=8):
    failures = []

    def guarded(number):
        try:
            work(number)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_write_makes_parents_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.txt"
    atomic.write_text(path, "eins")
    atomic.write_text(path, "zwei ä")
    assert path.read_bytes() == "zwei ä".encode()
    assert names(path.parent) == ["b.txt"]


def test_json_keeps_order_and_refuses_nan(tmp_path):
    path = tmp_path / "x.json"
    atomic.write_json(path, {"b": 1, "a": "ä"})
    assert path.read_text(encoding="utf-8") == '{\n  "b": 1,\n  "a": "ä"\n}\n'
    with pytest.raises(ValueError):
        atomic.write_json(path, {"a": float("nan")})
    assert '"b": 1' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
def test_a_failed_write_leaves_the_old_content(tmp_path, monkeypatch, step):
    path = tmp_path / "x"
    atomic.write_bytes(path, b"old")

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="disk full"):
        atomic.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


@pytest.mark.parametrize("name", ["file.bin", "folder"])
def test_a_crash_leaves_the_old_content(tmp_path, name):
    path = tmp_path / name
    if path.suffix:
        path.write_bytes(b"old")
    else:
        path.mkdir()
        (path / "part").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", CRASH, str(path)], timeout=60)
    assert done.returncode == 9
    assert (path if path.suffix else path / "part").read_bytes() == b"old"


def test_modes_follow_the_umask(tmp_path):
    umask = os.umask(0o022)
    os.umask(umask)
    atomic.write_bytes(tmp_path / "x", b"")
    with atomic.atomic_folder(tmp_path / "y"):
        pass
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "y").stat().st_mode & 0o777 == 0o777 & ~umask


def test_readers_never_see_a_partial_file(tmp_path):
    path = tmp_path / "x"
    whole = {bytes([number]) * 100_000 for number in range(8)}
    atomic.write_bytes(path, bytes(100_000))
    umask = os.umask(0o022)
    os.umask(umask)

    def work(number):
        for _ in range(5):
            atomic.write_bytes(path, bytes([number]) * 100_000)
            assert path.read_bytes() in whole

    run_threads(work)
    assert names(tmp_path) == ["x"]
    assert os.umask(umask) == umask


def test_folder_is_new_then_replaced(tmp_path):
    path = tmp_path / "run"
    for name in ("a", "b"):
        with atomic.atomic_folder(path) as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / name).write_text(name)
            assert not (path / "deep" / name).exists()
        assert names(path / "deep") == [name]
    assert names(tmp_path) == ["run"]


def test_a_folder_replaces_a_file(tmp_path):
    (tmp_path / "run").write_text("a file")
    with atomic.atomic_folder(tmp_path / "run") as folder:
        (folder / "a").write_text("a")
    assert names(tmp_path / "run") == ["a"]
    assert names(tmp_path) == ["run"]


def test_an_error_inside_leaves_the_old_folder(tmp_path):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").touch()

    def fill():
        with atomic.atomic_folder(path) as folder:
            (folder / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["run"]


def test_interrupted_replacement_restores_the_old_folder(tmp_path, monkeypatch):
    path = tmp_path / "run"
    path.mkdir()
    (path / "old").touch()
    real, calls = os.replace, []

    def replace(source, target):
        calls.append(target)
        if len(calls) == 3:  # 1: occupied, 2: the old one is moved aside, 3: stopped
            raise KeyboardInterrupt
        real(source, target)

    def fill():
        with atomic.atomic_folder(path) as folder:
            (folder / "new").touch()
            monkeypatch.setattr(os, "replace", replace)

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert names(path) == ["old"]
    assert names(tmp_path) == ["run"]


def test_concurrent_writers_leave_one_complete_folder(tmp_path):
    path = tmp_path / "bank"

    def work(number):
        for _ in range(5):
            with atomic.atomic_folder(path) as folder:
                for part in ("a", "b"):
                    (folder / part).write_text(str(number))

    run_threads(work)
    assert names(tmp_path) == ["bank"]
    assert (path / "a").read_text() == (path / "b").read_text()
