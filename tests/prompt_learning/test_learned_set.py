"""Learned prompts as a prompt set: files, banks, further classes, other encoders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from context_oracle import WORDS
from tiny_text_towers import open_clip_folder

from ke2nt.banks.build_bank import build_bank
from ke2nt.banks.prompt_embeddings import embed_prompts
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import PromptError, TextEncoderError
from ke2nt.prompt_learning.learn import learn_context
from ke2nt.prompt_learning.learned_set import build_learned_set, write_learned_set
from ke2nt.prompt_learning.options import ContextOptions
from ke2nt.prompts import learned_vectors
from ke2nt.prompts.check import check_prompts
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.vlm.catalog import get_text_encoder

CLASSES = ("neutral", "happiness", "in_pain")


@pytest.fixture(scope="module")
def written():
    classes = {name: [word] for name, word in zip(CLASSES, WORDS, strict=True)}
    return PromptSet(name="written", templates=["a {class} face"], classes=classes)


def learn(encoder, tower, faces, written, **changes):
    fields = {"context": 5, "epochs": 2, "lr": 0.5, **changes}
    options = ContextOptions(**fields)
    context = learn_context(tower, WORDS, *faces, logit_scale=9.0, options=options)
    prompts = build_learned_set(
        context,
        written,
        encoder.id,
        encoder.fingerprint(),
        tower,
        position=options.position,
        class_specific=options.class_specific,
        training={"dataset": "blobs"},
    )
    return context, prompts


@pytest.fixture
def forgotten(monkeypatch):
    """The vectors that this process knows, empty as in a new process."""
    known = {}
    monkeypatch.setattr(learned_vectors, "_KNOWN", known)
    return known


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("class_specific", [False, True])
def test_a_bank_of_the_file_is_what_was_learned(
    encoder, tower, faces, written, tmp_path, forgotten, spec, position, class_specific
):
    context, prompts = learn(
        encoder, tower, faces, written, position=position, class_specific=class_specific
    )
    names = write_learned_set(tmp_path / "out", prompts)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(names)

    forgotten.clear()
    loaded = PromptSet.load(tmp_path / "out" / "learned.yaml")
    assert loaded == prompts
    assert check_prompts(tmp_path / "out" / "learned.yaml").problems == ()
    bank = TextBank.build(loaded, spec, cache_dir=tmp_path / "cache")
    assert bank.classes == CLASSES
    torch.testing.assert_close(bank.embeddings, context.embeddings, rtol=0, atol=1e-5)

    # the second time it comes from the cache, though another process knows no vectors
    built = build_bank(TextBank, loaded, spec, cache_dir=tmp_path / "cache")
    assert built.origin == "cache"


def test_plain_and_learned_prompts_are_read_together(encoder, tower, faces, written, tmp_path):
    _, prompts = learn(encoder, tower, faces, written)
    texts = ["a happy face", prompts.render("happiness")[0], "fear"]
    rows = embed_prompts(texts, encoder, tmp_path)
    torch.testing.assert_close(rows[[0, 2]], encoder.encode_text(texts[::2]).embeddings)
    assert not torch.allclose(rows[1], rows[0], atol=1e-3)


def test_new_classes_use_the_context_of_all(encoder, tower, faces, written, tmp_path):
    _, prompts = learn(encoder, tower, faces, written)
    wider = prompts.with_words(["bored"])
    assert wider.render("bored")[0].endswith("] bored.")
    bank = TextBank.build(wider, encoder, cache_dir=tmp_path)
    assert bank.classes == (*CLASSES, "bored")

    _, specific = learn(encoder, tower, faces, written, class_specific=True)
    assert specific.with_classes(["happiness", "neutral"]).class_names == ("happiness", "neutral")
    with pytest.raises(PromptError, match=r"learned for each class, and 'bored' is not among them"):
        specific.with_words(["happiness", "bored"])


def test_another_encoder_is_refused(encoder, tower, faces, written, tmp_path):
    _, prompts = learn(encoder, tower, faces, written)
    other = open_clip_folder(tmp_path, "siglip")
    with pytest.raises(PromptError, match=r"only the encoder .*open_clip:clip .*open_clip:siglip"):
        TextBank.build(prompts, other, cache_dir=tmp_path / "cache")
    assert not (tmp_path / "cache" / "banks").exists()


def test_an_encoder_without_a_tower_is_refused(encoder, tower, faces, written, tmp_path):
    from fake_text import FakeEncoder

    class Twin(FakeEncoder):
        def fingerprint(self):
            return encoder.fingerprint()

    _, prompts = learn(encoder, tower, faces, written)
    with pytest.raises(TextEncoderError, match="prompt_learning_tower"):
        TextBank.build(prompts, Twin(), cache_dir=tmp_path)


def test_altered_files_are_refused(encoder, tower, faces, written, tmp_path, forgotten):
    _, prompts = learn(encoder, tower, faces, written)
    file, vectors = (tmp_path / name for name in write_learned_set(tmp_path, prompts))
    text, data = file.read_text(), vectors.read_bytes()

    def refused(match):
        forgotten.clear()
        with pytest.raises(PromptError, match=match):
            PromptSet.load(file)

    # numbers, the encoder's digest, a cut file, an absent file, a path, marks of nothing
    vectors.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused("learned vectors cannot be used")
    vectors.write_bytes(data)
    file.write_text(text.replace(prompts.learned.weights, "a" * 64))
    refused("another encoder")
    file.write_text(text)
    vectors.write_bytes(data[:-4])
    refused("learned vectors cannot be read")
    vectors.unlink()
    refused(r"No such file.*belongs beside the YAML")
    file.write_text(text.replace("vectors: ", "vectors: ../"))
    refused(r"learned.vectors")
    vectors.write_bytes(data)
    file.write_text(text.replace("[V1-5@", "[V1-6@"))
    refused(r"\[V1-6@[0-9a-f]{16}\] stands for learned vectors that are not there")
    file.write_text(text[: text.index("learned:\n")])
    refused(r"\[V1-5@[0-9a-f]{16}\] stands for learned vectors that are not there")


def test_an_older_set_stays_whole_until_it_is_replaced(
    encoder, tower, faces, written, tmp_path, monkeypatch
):
    _, first = learn(encoder, tower, faces, written)
    _, second = learn(encoder, tower, faces, written, seed=1)
    write_learned_set(tmp_path, first)

    def interrupt(path, text):
        raise KeyboardInterrupt

    monkeypatch.setattr("ke2nt.prompt_learning.learned_set.write_text", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_learned_set(tmp_path, second)
    assert PromptSet.load(tmp_path / "learned.yaml") == first
    assert len(list(tmp_path.iterdir())) == 2

    monkeypatch.undo()
    write_learned_set(tmp_path, second)
    assert PromptSet.load(tmp_path / "learned.yaml") == second
    assert len(list(tmp_path.iterdir())) == 2


def test_nearest_words_are_those_of_the_table(encoder, tower, faces, written):
    context, prompts = learn(encoder, tower, faces, written, context=3)
    (nearest,) = prompts.learned.nearest.values()
    table, values = tower.vocabulary.double().numpy(), context.vectors[0].double().numpy()
    for vector, words in zip(values, nearest, strict=True):
        assert len(words) == 3
        distances = np.sqrt(((table - vector) ** 2).sum(-1))
        assert next(iter(words.values())) == pytest.approx(distances.min(), abs=1e-3)
        assert list(words.values()) == sorted(words.values())
        assert next(iter(words)) == tower.token_text(int(distances.argmin())).strip()


def test_a_context_without_a_neutral_class(encoder, tower, faces, written):
    some = written.with_classes(["happiness", "in_pain"])
    _, prompts = learn(encoder, tower, faces, written)
    assert prompts.anchor == "neutral"
    unified, specific = (
        build_learned_set(
            learn_context(
                tower,
                WORDS[1:],
                _without_first(faces[0]),
                logit_scale=1.0,
                options=ContextOptions(context=2, epochs=1, class_specific=own),
            ),
            some,
            encoder.id,
            encoder.fingerprint(),
            tower,
            position="end",
            class_specific=own,
        )
        for own in (False, True)
    )
    assert unified.render_anchor()[0].endswith("] neutral.")
    assert specific.render_anchor() == ("a neutral face",)


def _without_first(images):
    kept = images.labels > 0
    return type(images)(images.embeddings[kept], images.labels[kept] - 1)


@pytest.mark.parametrize("form", ["siglip", "embed_cls", "custom"])
def test_other_towers_give_the_learned_bank(form, faces, written, tmp_path):
    spec = open_clip_folder(tmp_path, form)
    encoder = get_text_encoder(spec)
    context, prompts = learn(encoder, encoder.prompt_learning_tower(), faces, written)
    bank = TextBank.build(prompts, spec, cache_dir=tmp_path / "cache")
    torch.testing.assert_close(bank.embeddings, context.embeddings, rtol=0, atol=1e-5)
    assert (bank.provenance["logit_bias"] is not None) == (form == "siglip")
