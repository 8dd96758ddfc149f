from __future__ import annotations

import gzip
import importlib.util
import json
import math
import shutil

import open_clip
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import MissingExtraError, PromptError, TextEncoderError
from ke2nt.vlm.base import WeightsUnavailableError
from ke2nt.vlm.catalog import get_text_encoder

TEXTS = ["a photo of a happy face", "fear", "a neutral face"]
WORDS = ["a", "photo", "of", "happy", "face", "fear", "neutral"]
TOWER = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
}
VISION = {**TOWER, "image_size": 16, "patch_size": 8}


def save_words(folder, *, limit):
    """A tokenizer of whole words that ends each text with [SEP]."""
    vocab = {word: index for index, word in enumerate(["[PAD]", "[SEP]", "[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("$A [SEP]", None, [("[SEP]", 1)])

    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        eos_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=limit,
    ).save_pretrained(folder)


def save_model(model, folder):
    model.eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf") / "tiny-clip"
    torch.manual_seed(1)
    config = transformers.CLIPConfig(
        text_config={**TOWER, "max_position_embeddings": 16, "vocab_size": 49408},
        vision_config=VISION,
        projection_dim=12,
        logit_scale_init_value=math.log(20.0),
    )
    save_model(transformers.CLIPModel(config), folder)
    with gzip.open(open_clip.tokenizer.default_bpe(), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
    vocab = dict(open_clip.SimpleTokenizer().encoder)
    vocab["<|startoftext|>"] = vocab.pop("<start_of_text>")
    vocab["<|endoftext|>"] = vocab.pop("<end_of_text>")
    (folder / "vocab.json").write_text(json.dumps(vocab))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 16})
    )
    return folder


@pytest.fixture(scope="module")
def siglip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf") / "tiny-siglip"
    torch.manual_seed(2)

    config = transformers.SiglipConfig(
        text_config={
            **TOWER,
            "max_position_embeddings": 10,
            "vocab_size": 10,
            "projection_size": 16,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 1,
        },
        vision_config=VISION,
    )

    model = transformers.SiglipModel(config)
    with torch.no_grad():
        model.logit_scale.fill_(math.log(90.0))
        model.logit_bias.fill_(-12.0)
    save_words(folder, limit=10)
    return save_model(model, folder)


@pytest.fixture(scope="module")
def sentence(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hf") / "tiny-sentence"
    torch.manual_seed(3)
    config = transformers.BertConfig(vocab_size=10, max_position_embeddings=20, **TOWER)
    save_words(folder, limit=18)
    save_model(transformers.BertModel(config), folder)
    pooling(folder, {"pooling_mode_mean_tokens": True}, ["Transformer", "Pooling"])
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 9}')
    return folder


def pooling(folder, mode, layers):
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(mode))
    modules = [{"type": f"sentence_transformers.models.{name}"} for name in layers]
    (folder / "modules.json").write_text(json.dumps(modules))


def features(model, **tokens):
    with torch.no_grad():
        found = model.get_text_features(**tokens)
    return getattr(found, "pooler_output", found)


def test_clip_equals_transformers(clip):
    encoder = get_text_encoder(f"transformers:{clip}")
    encoded = encoder.encode_text(TEXTS)
    model = transformers.CLIPModel.from_pretrained(clip)
    tokenizer = transformers.AutoTokenizer.from_pretrained(clip)
    rows = [features(model, **tokenizer([text], return_tensors="pt")) for text in TEXTS]
    torch.testing.assert_close(encoded.embeddings, torch.cat(rows), rtol=0, atol=1e-6)
    assert encoded.logit_scale == pytest.approx(20.0, rel=1e-5)
    assert encoded.logit_bias is None
    assert encoder.id == "transformers:tiny-clip"

    with pytest.raises(PromptError, match=r"at most 16 tokens.*\(17\)"):
        encoder.check_lengths([" ".join(["face"] * 14), " ".join(["face"] * 15)])


def test_siglip_attends_to_padding_and_has_a_bias(siglip):
    encoder = get_text_encoder(f"transformers:{siglip}")
    encoded = encoder.encode_text(TEXTS)
    model = transformers.SiglipModel.from_pretrained(siglip)
    tokenizer = transformers.AutoTokenizer.from_pretrained(siglip)
    ids = tokenizer(TEXTS, padding="max_length", max_length=10, return_tensors="pt")["input_ids"]

    assert ids.shape == (3, 10)
    torch.testing.assert_close(
        encoded.embeddings, features(model, input_ids=ids), rtol=0, atol=1e-6
    )

    short = tokenizer(TEXTS, padding=True, return_tensors="pt")["input_ids"]
    assert float((features(model, input_ids=short) - encoded.embeddings).abs().max()) > 1e-4
    assert encoded.logit_scale == pytest.approx(90.0, rel=1e-5)
    assert encoded.logit_bias == -12.0


def test_siglip_bias_is_in_the_provenance(siglip):
    bank = TextBank.build("simple", encoder=f"transformers:{siglip}", classes=["fear"])
    assert bank.provenance["logit_bias"] == -12.0
    assert bank.logit_scale == pytest.approx(90.0, rel=1e-5)


@pytest.mark.parametrize(
    ("mode", "layers"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, 2),
        ({"pooling_mode": "mean"}, 3),
        ({"pooling_mode_cls_token": True}, 3),
    ],
)
def test_sentence_encoder_pools_as_its_folder_says(sentence, tmp_path, mode, layers):
    folder = shutil.copytree(sentence, tmp_path / "copy")
    pooling(folder, mode, ["Transformer", "Pooling", "Normalize"][:layers])
    encoded = get_text_encoder(f"transformers:{folder}").encode_text(TEXTS)
    model = transformers.BertModel.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    for text, found in zip(TEXTS, encoded.embeddings, strict=True):
        with torch.no_grad():
            states = model(**tokenizer([text], return_tensors="pt")).last_hidden_state[0]
        expected = states[0] if mode.get("pooling_mode_cls_token") else states.mean(dim=0)
        if layers == 3:
            expected = expected / expected.norm()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)

    assert encoded.logit_scale is None


def test_smallest_limit_of_a_sentence_encoder_counts(sentence):
    encoder = get_text_encoder(f"transformers:{sentence}")
    encoder.check_lengths([" ".join(["face"] * 8)])
    with pytest.raises(PromptError, match="at most 9 tokens"):
        encoder.check_lengths([" ".join(["face"] * 9)])


@pytest.mark.parametrize(
    ("mode", "layers"),
    [
        ({"pooling_mode_max_tokens": True}, ["Transformer", "Pooling"]),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            ["Transformer", "Pooling"],
        ),
        ({"pooling_mode_mean_tokens": True}, ["Transformer", "Pooling", "Dense"]),
    ],
)
def test_unknown_pooling_is_refused(sentence, tmp_path, mode, layers):
    folder = shutil.copytree(sentence, tmp_path / "copy")
    pooling(folder, mode, layers)
    with pytest.raises(TextEncoderError, match="sentence encoder"):
        get_text_encoder(f"transformers:{folder}").encode_text(TEXTS)


def test_fingerprint_follows_weights_tokenizer_and_pooling(sentence, tmp_path):
    def prints(folder):
        return get_text_encoder(f"transformers:{folder}").fingerprint()

    original = prints(sentence)
    folder = shutil.copytree(sentence, tmp_path / "copy")

    assert prints(folder) == original

    pooling(folder, {"pooling_mode": "cls"}, ["Transformer", "Pooling"])
    assert prints(folder).weights != original.weights

    folder = shutil.copytree(sentence, tmp_path / "tokens")
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text() + "\n")

    assert prints(folder).tokenizer != original.tokenizer
    assert prints(folder).weights == original.weights


def test_model_without_text_features_is_refused(sentence, tmp_path):
    folder = shutil.copytree(sentence, tmp_path / "copy")
    shutil.rmtree(folder / "1_Pooling")
    with pytest.raises(TextEncoderError, match="'bert'"):
        get_text_encoder(f"transformers:{folder}").fingerprint()


def test_broken_weights_are_refused(sentence, tmp_path):
    folder = shutil.copytree(sentence, tmp_path / "copy")
    (folder / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(TextEncoderError, match="cannot load"):
        get_text_encoder(f"transformers:{folder}").encode_text(TEXTS)
    (folder / "model.safetensors").unlink()
    with pytest.raises(TextEncoderError, match="no model"):
        get_text_encoder(f"transformers:{folder}").fingerprint()


def test_sharded_weights(sentence, tmp_path):
    folder = shutil.copytree(sentence, tmp_path / "copy")
    transformers.BertModel.from_pretrained(folder).save_pretrained(folder, max_shard_size="4KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    pieces = sorted(folder.glob("model-*.safetensors"))

    assert len(pieces) > 1

    encoder = get_text_encoder(f"transformers:{folder}")
    whole = get_text_encoder(f"transformers:{sentence}").encode_text(TEXTS)

    assert torch.equal(encoder.encode_text(TEXTS).embeddings, whole.embeddings)

    before = encoder.fingerprint()
    data = bytearray(pieces[-1].read_bytes())
    data[-1] ^= 1
    pieces[-1].write_bytes(data)

    assert encoder.fingerprint().weights != before.weights

    pieces[0].unlink()
    with pytest.raises(TextEncoderError, match="no model"):
        encoder.fingerprint()
    (folder / "model.safetensors.index.json").write_text("[]")
    with pytest.raises(TextEncoderError, match="not an index"):
        encoder.fingerprint()


def test_absent_hub_id_offline():
    with pytest.raises(WeightsUnavailableError, match="transformers:FOLDER"):
        get_text_encoder("transformers:openai/clip-vit-base-patch32").fingerprint()
    with pytest.raises(WeightsUnavailableError, match="transformers:FOLDER"):
        get_text_encoder("transformers:openai/clip-vit-base-patch32").encode_text(["a face"])


PATHS = [
    "/no/such/folder",
    "./here",
    "../here",
    "~/here",
    "here/",
    "models/cilp",
    "a/b/c",
    "two words",
]


@pytest.mark.parametrize("source", PATHS)
def test_a_missing_folder_is_not_looked_for_on_the_hub(source, tmp_path, monkeypatch):
    (tmp_path / "models" / "clip").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(transformers.utils, "cached_file", lambda *a, **k: pytest.fail("fetched"))
    with pytest.raises(TextEncoderError, match="no folder") as caught:
        get_text_encoder(f"transformers:{source}")
    if source == "models/cilp":
        assert "Did you mean 'models/clip'?" in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer_config.json"])
def test_a_file_that_git_did_not_fetch_is_named(siglip, tmp_path, name):
    folder = shutil.copytree(siglip, tmp_path / "copy")
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4\nsize 1\n")
    with pytest.raises(TextEncoderError, match=rf"{name}.*Git LFS pointer"):
        get_text_encoder(f"transformers:{folder}").fingerprint()


def test_siglip_reads_lower_case(siglip):
    encoder = get_text_encoder(f"transformers:{siglip}")
    mixed = encoder.encode_text(["A Photo of a HAPPY face", "Fear"]).embeddings
    lower = encoder.encode_text(["a photo of a happy face", "fear"]).embeddings
    assert torch.equal(mixed, lower)
    assert encoder.unknown_texts(["Fear", "fear of spiders"]) == ["fear of spiders"]


def test_tokens_outside_the_table_are_refused(siglip, clip, tmp_path):
    folder = shutil.copytree(siglip, tmp_path / "siglip")
    words = json.loads((folder / "tokenizer.json").read_text())
    words["model"]["vocab"]["fear"] = 10
    (folder / "tokenizer.json").write_text(json.dumps(words))
    encoder = get_text_encoder(f"transformers:{folder}")
    encoder.encode_text(["a happy face"])
    with pytest.raises(TextEncoderError, match=r"numbers below 10.*number 10"):
        encoder.encode_text(["fear"])

    # the tokenizer of one model with the weights of another
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(clip / name, folder / name)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TextEncoderError, match="do not belong together"):
        get_text_encoder(f"transformers:{folder}").encode_text(TEXTS)


def test_naflex_has_text_and_no_images(tmp_path):
    folder = tmp_path / "naflex"
    torch.manual_seed(4)
    text = {**TOWER, "max_position_embeddings": 10, "vocab_size": 10, "projection_size": 16}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    config = transformers.Siglip2Config(
        text_config={**text, **ids}, vision_config={**TOWER, "num_patches": 16, "patch_size": 8}
    )
    save_words(folder, limit=10)
    save_model(transformers.Siglip2Model(config), folder)
    encoder = get_text_encoder(f"transformers:{folder}")
    assert encoder.encode_text(TEXTS).embeddings.shape == (3, 16)
    for use in (encoder.preprocessing_facts, encoder.image_tower):
        with pytest.raises(TextEncoderError, match=r"NaFlex.*siglip2-base-patch16-224"):
            use()
    with pytest.raises(TextEncoderError, match="NaFlex"):
        encoder.load(torch.device("cpu"))


def test_a_tokenizer_that_needs_sentencepiece_names_the_extra(siglip, tmp_path, monkeypatch):
    folder = shutil.copytree(siglip, tmp_path / "copy")
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *a: None if name == "sentencepiece" else find(name),
    )
    with pytest.raises(MissingExtraError, match=r"sentencepiece.*pip install 'ke2nt\[siglip\]'"):
        get_text_encoder(f"transformers:{folder}").encode_text(TEXTS)


@pytest.mark.parametrize(
    ("name", "act", "note"),
    [
        ("laion2b-clip", "quick_gelu", "trained with GELU (by its name, laion2b), but QuickGELU"),
        ("openai-clip", "gelu", "trained with QuickGELU (by its name, openai), but GELU"),
        ("openai-clip", "quick_gelu", None),
        ("clip", "gelu", None),
    ],
)
def test_the_activation_of_clip_is_stated(clip, tmp_path, name, act, note):
    folder = shutil.copytree(clip, tmp_path / name)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["hidden_act"] = act
    (folder / "config.json").write_text(json.dumps(config))
    encoded = get_text_encoder(f"transformers:{folder}").encode_text(["fear"])
    assert encoded.facts == {"activation": act}
    assert len(encoded.notes) == (note is not None)
    assert note is None or note in encoded.notes[0]
