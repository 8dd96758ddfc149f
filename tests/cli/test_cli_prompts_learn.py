"""`ke2nt prompts learn` on drawn faces and an untrained CLIP; commands that take its set."""

from __future__ import annotations

import json
import shutil

import pytest
from PIL import Image
from tiny_text_towers import open_clip_folder
from typer.testing import CliRunner

from ke2nt.cli.main import add_commands, app
from ke2nt.errors import ConfigError, DataError, Ke2ntError, PromptError
from ke2nt.prompts.prompt_set import PromptSet

DATA = ["--dataset", "drawn", "--option", "count=80", "--option", "size=32"]
FAST = ["--context", "3", "--epochs", "2", "--lr", "0.5"]

TINY = ["data.options.count=40", "data.options.size=32", "data.options.workers=1"]
TINY += ["model.backbone=test_resnet", "model.image_size=32", "model.stem=standard"]
TINY += ["optim.epochs=1", "optim.warmup_epochs=0", "select.every=1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    add_commands()
    return tmp_path_factory.mktemp("learn")


@pytest.fixture(scope="module")
def options(home):
    spec = open_clip_folder(home, "clip")
    return ["--encoder", spec, *DATA, "--cache-dir", str(home / "cache")]


def run(*words):
    """Run a command in this process; return what it prints on stdout."""
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def learned(home, options):
    """The learned set's file and the document."""
    words = ["prompts", "learn", *options, *FAST, "--regularise", "2", "--out", str(home / "out")]
    return home / "out" / "learned.yaml", json.loads(run(*words, "--json"))


def test_the_document_says_what_was_learned(learned):
    file, found = learned
    assert found == json.loads((file.parent / "learn.json").read_text())
    assert (found["dataset"], found["split"], found["val_split"]) == ("drawn", "train", "val")
    assert [record["epoch"] for record in found["history"]] == [1, 2]
    assert found["learned"]["uar"] == max(record["val_uar"] for record in found["history"])
    assert found["written"]["uar"] >= 0

    facts = PromptSet.load(file).learned
    assert facts.training["regularize"] == 2
    assert facts.training["images"] == 48
    assert facts.training["written"] == "paper"
    assert str(file.parent.parent) not in file.read_text()


def test_show_names_the_nearest_words(learned):
    file, found = learned
    (vectors,) = found["nearest"].values()
    shown = run("prompts", "show", str(file))
    for number, words in enumerate(vectors, start=1):
        word, distance = next(iter(words.items()))
        assert f"V{number}" in shown
        assert f"{word} {distance:.3f}" in shown
    assert json.loads(run("prompts", "show", str(file), "--json"))["learned"]["encoder"]


def test_commands_take_the_set(learned, options, home):
    file, found = learned
    score = json.loads(
        run("zero-shot", *options, "--split", "val", "--prompts", str(file), "--json")
    )
    assert score["uar"] == pytest.approx(found["learned"]["uar"])

    compared = run(
        *("prompts", "compare", "paper", str(file), *options, "--split", "val", "--json")
    )
    document = json.loads(compared)
    uars = [document[each]["uar"] for each in ("first", "second")]
    assert uars == pytest.approx([found["written"]["uar"], found["learned"]["uar"]])

    built = run(
        *("cache", "build", "--encoder", options[1], "--prompts", str(file)),
        *("--cache-dir", str(home / "cache"), "--json"),
    )
    assert json.loads(built)[0]["origin"] == "cache"
    run("prompts", "check", str(file))


def test_a_model_is_trained_with_the_set_and_predicts_without_it(learned, options, home, tmp_path):
    # the set is moved away after training: the model holds its embeddings
    file, _ = learned
    for name in (file, *file.parent.glob("*.safetensors")):
        shutil.copy(name, tmp_path)
    prompts = tmp_path / file.name
    text = [f"text.prompts={prompts}", f"text.encoder={options[1]}"]
    run("train", "quickstart", *text, *TINY, f"out={tmp_path / 'run'}", "--quiet")
    for name in (prompts, *tmp_path.glob("*.safetensors")):
        name.unlink()

    Image.new("RGB", (32, 32), "gray").save(tmp_path / "face.png")
    photo = [str(tmp_path / "face.png"), "--model", str(tmp_path / "run"), "--no-detect"]
    (row,) = json.loads(run("predict", *photo, "--json"))["faces"]
    assert set(row["probabilities"]) == set(PromptSet.load(file).classes)


def test_another_encoder_is_refused_in_one_line(learned, tmp_path):
    file, _ = learned
    command = ["cache", "build", "--prompts", str(file), "--cache-dir", str(tmp_path)]
    with pytest.raises(PromptError, match=r"fit only the encoder .* found minilm") as error:
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert "\n" not in str(error.value)


def test_shots_are_drawn_of_each_class(options, home, tmp_path):
    words = ["prompts", "learn", *options, *FAST, "--shots", "2", "--out", str(tmp_path)]
    found = json.loads(run(*words, "--json"))
    assert found["shots"] == 2
    assert PromptSet.load(tmp_path / "learned.yaml").learned.training["images"] == 16


def test_the_epoch_may_be_chosen_on_a_part_of_the_training_split(options, tmp_path):
    words = ["prompts", "learn", *options, *FAST, "--out", str(tmp_path), "--val-split", "null"]
    found = json.loads(run(*words, "--val-fraction", "0.5", "--json"))
    # half of 48 faces
    assert (found["val_split"], found["val_fraction"]) == (None, 0.5)
    assert PromptSet.load(tmp_path / "learned.yaml").learned.training["images"] == 24


def test_a_class_of_the_data_alone_gets_vectors(options, home, tmp_path):
    words = ["prompts", "learn", *options, "--init", "a face", "--epochs", "1", "--class-specific"]
    text = run(*words, "--position", "middle", "--name", "own", "--out", str(tmp_path))
    assert "epoch 1 of 1" in text
    prompts = PromptSet.load(tmp_path / "own.yaml")
    assert not prompts.templates
    assert len(prompts.learned.nearest) == 8
    with pytest.raises(PromptError, match="learned for each class"):
        prompts.with_words(["bored"])


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["--init", "a photo", "--context", "4"], ConfigError, "expected 2 vectors"),
        (["--context", "40"], ConfigError, "at most 17 vectors"),
        (["--shots", "99"], DataError, "too few samples for 99 shots"),
        (["--lr", "0"], ConfigError, "lr is out of range"),
        (["--lr", "nan"], ConfigError, "lr is out of range"),
        (["--regularize", "inf"], ConfigError, "regularize is out of range"),
        (["--val-split", "train"], ConfigError, "images that are learned from"),
        (["--val-split", "null", "--val-fraction", "1"], ConfigError, "above 0, below 0.9"),
        (["--val-fraction", "0.1"], ConfigError, "--val-split null; found .* split val"),
        (["--val-split", "nope"], Ke2ntError, "drawn has no split 'nope'"),
        (["--split", "nope"], Ke2ntError, "drawn has no split 'nope'"),
        (["--name", "a/b"], ConfigError, "--name is not a name"),
        (["--prompts", "nope"], PromptError, "no prompt file or shipped name 'nope'"),
        (["--class-specific", "--limit", "6"], PromptError, "none of"),
    ],
)
def test_wrong_values_are_named_and_nothing_is_written(options, tmp_path, words, error, message):
    command = ["prompts", "learn", *options, *words, "--out", str(tmp_path / "out")]
    with pytest.raises(error, match=message):
        CliRunner().invoke(app, command, catch_exceptions=False)
    assert not (tmp_path / "out").exists()


def test_an_interrupted_command_leaves_nothing(options, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ke2nt.prompt_learning.learned_set.write_text", interrupt)
    command = ["prompts", "learn", *options, *FAST, "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(app, command).exit_code != 0
    assert list((tmp_path / "out").iterdir()) == []
