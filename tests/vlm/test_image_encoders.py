"""Image embeddings are those of the libraries themselves, under the model's own preprocessing."""

from __future__ import annotations

import json
import shutil

import numpy as np
import open_clip
import pytest
import torch
import transformers
from PIL import Image

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSample, FaceSplit
from ke2nt.errors import CheckpointError, ModelError, TextEncoderError
from ke2nt.evaluation.embed_split import check_text, embed_split
from ke2nt.evaluation.evaluate_model import decode_for_model
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.evaluation.predictions import compute_predictions
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier

CLASSES = ("neutral", "happiness")


def smooth_image(height, width, seed):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 5, width // 5, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Files of several sizes and kinds, one of them no image."""
    root = tmp_path_factory.mktemp("images")
    shapes = [(32, 32), (48, 48), (90, 60), (41, 100), (64, 64)]
    samples = []
    for i, shape in enumerate(shapes):
        image = smooth_image(*shape, seed=i)
        image = image.convert("L") if i % 2 else image
        image.save(root / f"{i}.png")
        samples.append(FaceSample(f"{i}.png", root / f"{i}.png", i % 2))
    (root / "bad.png").write_bytes(b"no image")
    samples.insert(2, FaceSample("bad.png", root / "bad.png", 0))
    return FaceSplit("images", "test", CLASSES, tuple(samples))


def open_images(split):
    return [Image.open(s.source) for s in split.samples if s.name != "bad.png"]


def unit(features):
    return torch.nn.functional.normalize(features.detach(), dim=-1).numpy()


def test_open_clip_folder(small_clip, split):
    images = embed_split(f"open_clip:{small_clip.open_clip}", split)
    model, _, preprocess = open_clip.create_model_and_transforms(
        f"local-dir:{small_clip.open_clip}"
    )
    inputs = torch.stack([preprocess(image) for image in open_images(split)])
    expected = unit(model.eval().encode_image(inputs))

    np.testing.assert_allclose(images.embeddings, expected, rtol=0, atol=1e-6)
    assert images.embeddings.dtype == np.float32
    assert images.names == ("0.png", "1.png", "2.png", "3.png", "4.png")
    assert images.labels.tolist() == [0, 1, 0, 1, 0]
    assert images.classes == CLASSES
    assert images.failed[0][0] == "bad.png"
    assert images.logit_scale == pytest.approx(float(model.logit_scale.exp().detach()))
    assert images.text_encoder == f"open_clip:{small_clip.open_clip}"
    assert images.trained_classes is None


def test_open_clip_architecture_with_checkpoint(small_clip, split, tmp_path):
    config = json.loads((small_clip.open_clip / "open_clip_config.json").read_text())
    name = "ke2nt-test-image-arch"
    (tmp_path / f"{name}.json").write_text(json.dumps(config["model_cfg"]))
    open_clip.add_model_config(tmp_path / f"{name}.json")
    checkpoint = small_clip.open_clip / "open_clip_model.safetensors"
    images = embed_split(f"open_clip:{name}/{checkpoint}", split)
    _, _, preprocess = open_clip.create_model_and_transforms(name, pretrained=str(checkpoint))
    model = open_clip.create_model(name, pretrained=str(checkpoint)).eval()
    inputs = torch.stack([preprocess(image) for image in open_images(split)])

    np.testing.assert_allclose(
        images.embeddings, unit(model.encode_image(inputs)), rtol=0, atol=1e-6
    )


def test_transformers_folder(small_clip, split):
    images = embed_split(f"transformers:{small_clip.transformers}", split)
    model = transformers.CLIPModel.from_pretrained(small_clip.transformers).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(
        small_clip.transformers, use_fast=False
    )
    rows = [
        model.get_image_features(**processor(image.convert("RGB"), return_tensors="pt"))
        for image in open_images(split)
    ]
    expected = unit(torch.cat([getattr(row, "pooler_output", row) for row in rows]))
    np.testing.assert_allclose(images.embeddings, expected, rtol=0, atol=1e-6)
    assert images.logit_scale == pytest.approx(float(model.logit_scale.exp().detach()))


def test_both_folders_hold_the_same_model(small_clip):
    ours = open_clip.create_model(f"local-dir:{small_clip.open_clip}").eval()
    theirs = transformers.CLIPModel.from_pretrained(small_clip.transformers).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 32, 32, generator=generator)
    texts = ["a photo of a happy face.", "an angry person", "surprise!"]
    tokens = open_clip.get_tokenizer(f"local-dir:{small_clip.open_clip}")(texts)
    encoded = transformers.AutoTokenizer.from_pretrained(small_clip.transformers)(
        texts, padding=True, return_tensors="pt"
    )

    with torch.no_grad():
        image = theirs.get_image_features(pixel_values=images)
        text = theirs.get_text_features(**encoded)
        pairs = [
            (ours.encode_image(images), getattr(image, "pooler_output", image)),
            (ours.encode_text(tokens), getattr(text, "pooler_output", text)),
        ]

    for first, second in pairs:
        torch.testing.assert_close(first, second, rtol=0, atol=1e-5)


def test_siglip(split, tmp_path):
    tower = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    torch.manual_seed(2)
    text = {**tower, "vocab_size": 10, "projection_size": 16, "pad_token_id": 0}
    config = transformers.SiglipConfig(
        text_config={**text, "bos_token_id": 1, "eos_token_id": 1},
        vision_config={**tower, "image_size": 24, "patch_size": 8},
    )
    model = transformers.SiglipModel(config).eval()
    model.save_pretrained(tmp_path)
    transformers.SiglipImageProcessor(size={"height": 24, "width": 24}).save_pretrained(tmp_path)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path, use_fast=False)
    (tmp_path / "tokenizer.json").write_text("{}")
    images = embed_split(f"transformers:{tmp_path}", split)
    rows = [
        model.get_image_features(**processor(image.convert("RGB"), return_tensors="pt"))
        for image in open_images(split)
    ]
    expected = unit(torch.cat([getattr(row, "pooler_output", row) for row in rows]))

    np.testing.assert_allclose(images.embeddings, expected, rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.manual_seed(0)
    rows = torch.randn(2, 12, generator=torch.Generator().manual_seed(1))
    bank = TextBank.from_tensors(rows, classes=CLASSES, neutral_index=0, logit_scale=20.0)
    folder = tmp_path_factory.mktemp("trained") / "model"
    model = KE2NT(bank, "test_resnet", 24, learn_logit_scale=True)
    with torch.no_grad():
        model.log_logit_scale += 0.5
    model.save_pretrained(folder)
    (folder.parent / "config.yaml").write_text("text: {encoder: minilm}\n")
    return folder.parent


def test_trained_model(run, split):
    images = embed_split(f"run:{run}", split)
    model = KE2NT.from_pretrained(run)
    expected = compute_predictions(model, decode_for_model(model, split), embeddings=True)
    vectors = expected.embeddings / np.linalg.norm(expected.embeddings, axis=1, keepdims=True)
    np.testing.assert_allclose(images.embeddings, vectors, rtol=0, atol=1e-6)
    assert images.logit_scale == pytest.approx(20 * np.exp(0.5), rel=1e-5)
    assert images.trained_classes == CLASSES
    assert images.text_encoder == "minilm"


def test_text_encoder_of_a_run_can_be_named(run):
    assert get_image_encoder(f"run:{run}", text_encoder="minilm").text_encoder == "minilm"
    moved = get_image_encoder(f"run:{run}", text_encoder="transformers:elsewhere")
    assert moved.text_encoder == "transformers:elsewhere"
    with pytest.raises(ModelError, match="brings its own text encoder"):
        get_image_encoder("transformers:a/b", text_encoder="minilm")


def test_run_without_a_text_encoder_name(run, tmp_path):
    shutil.copytree(run / "model", tmp_path / "model")
    with pytest.raises(ModelError, match="--text-encoder"):
        get_image_encoder(f"run:{tmp_path}")


def test_bf16_is_close_but_not_equal(small_clip, split):
    spec = f"open_clip:{small_clip.open_clip}"
    exact = embed_split(spec, split, precision="fp32")
    assert np.array_equal(exact.embeddings, embed_split(spec, split).embeddings)  # auto on the CPU
    half = embed_split(spec, split, precision="bf16")
    gap = np.abs(half.embeddings - exact.embeddings).max()
    assert 1e-5 < gap < 0.05


@pytest.mark.parametrize("batch_size", [1, 2, 600])
def test_batch_size_does_not_matter(small_clip, split, tmp_path, batch_size):
    spec = f"open_clip:{small_clip.open_clip}"
    images = embed_split(spec, split, batch_size=batch_size, cache_dir=tmp_path)
    np.testing.assert_allclose(
        images.embeddings, embed_split(spec, split).embeddings, rtol=0, atol=1e-6
    )
    assert images.names == embed_split(spec, split).names


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"mean": None}, "no mean"),
        ({"std": [0.2, 0.2]}, "no std"),
        ({"size": 48}, r"\(32, 32\), as the tower reads.*\(48, 48\)"),
        ({"resize_mode": "fill"}, "unknown resize_mode"),
    ],
)
def test_unsuitable_open_clip_preprocessing_is_refused(small_clip, split, tmp_path, change, words):
    folder = shutil.copytree(small_clip.open_clip, tmp_path / "changed")
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["preprocess_cfg"].update(change)
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match=words):
        embed_split(f"open_clip:{folder}", split)


def test_open_clip_folder_without_preprocessing_is_refused(small_clip, split, tmp_path):
    folder = shutil.copytree(small_clip.open_clip, tmp_path / "changed")
    path = folder / "open_clip_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({"model_cfg": config["model_cfg"]}))
    with pytest.raises(ModelError, match="no mean"):
        embed_split(f"open_clip:{folder}", split)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"crop_size": {"height": 48, "width": 48}}, "images of 32 px.*48"),
        ({"crop_size": {"height": 32, "width": 48}}, "images of 32 px.*48"),
        ({"do_center_crop": False, "size": {"shortest_edge": 40}}, "images of 32 px.*40"),
        ({"do_normalize": False}, "no image_mean"),
    ],
)
def test_unsuitable_image_processor_is_refused(small_clip, split, tmp_path, change, words):
    folder = shutil.copytree(small_clip.transformers, tmp_path / "changed")
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelError, match=words):
        embed_split(f"transformers:{folder}", split)


def test_missing_image_processor_is_refused(small_clip, split, tmp_path):
    folder = shutil.copytree(small_clip.transformers, tmp_path / "changed")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(TextEncoderError, match="cannot load"):
        embed_split(f"transformers:{folder}", split)


def test_linear_head_is_refused(tmp_path):
    LinearClassifier(CLASSES, "test_resnet", 24).save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="linear head"):
        get_image_encoder(f"run:{tmp_path}")


@pytest.mark.parametrize(
    ("spec", "error", "words"),
    [
        ("openclip:ViT-B-16/openai", ModelError, "Did you mean 'open_clip'"),
        ("minilm", ModelError, "unknown image encoder"),
        ("run:", ModelError, "unknown image encoder"),
        ("run:/no/such/run", CheckpointError, "no saved model"),
        ("open_clip:ViT-B-61/openai", TextEncoderError, "ViT-B-16"),
    ],
)
def test_wrong_names(spec, error, words):
    with pytest.raises(error, match=words):
        get_image_encoder(spec)


def test_text_of_another_encoder_is_refused(small_clip, split, tmp_path):
    images = embed_split(f"open_clip:{small_clip.open_clip}", split)
    check_text(images, TextBank.build("simple", images.text_encoder))
    with pytest.raises(ModelError, match="width"):
        check_text(images, TextBank.build("simple"))
    twin = shutil.copytree(small_clip.open_clip, tmp_path / "twin")
    path = twin / "open_clip_config.json"
    config = json.loads(path.read_text())
    config["model_cfg"]["quick_gelu"] = True
    path.write_text(json.dumps(config))
    with pytest.raises(ModelError, match="shares the image encoder's space"):
        check_text(images, TextBank.build("simple", f"open_clip:{twin}"))
