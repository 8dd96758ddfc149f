"""Untrained vision-language models of both libraries, in the forms of CLIP and of SigLIP."""

from __future__ import annotations

import json
import math

import open_clip
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

KINDS = ("open_clip-clip", "open_clip-siglip", "transformers-clip", "transformers-siglip")
SIZE = 24
WORDS = (
    "a photo of person making facial expression . the face with look an neutral happiness happy "
    "anger angry fear afraid sadness sad surprise surprised disgust disgusted contempt calm"
)
SCALE, BIAS = 90.0, -12.0

_IMAGE = {"image_size": SIZE, "layers": 3, "width": 16, "head_width": 8, "patch_size": 8}
_TEXT = {"context_length": 24, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
_FORMS = {
    "clip": {"vision_cfg": _IMAGE, "text_cfg": _TEXT, "quick_gelu": True},
    # no class token, attention pooling, no causal mask, a bias
    "siglip": {
        "vision_cfg": {
            **_IMAGE,
            "attentional_pool": True,
            "attn_pooler_queries": 4,
            "attn_pooler_heads": 2,
            "pool_type": "avg",
        },
        "text_cfg": {**_TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True},
        "custom_text": True,
        "init_logit_bias": BIAS,
    },
}
_TOWER = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
}


def vision_language_model(root, kind):
    """Write the folder of a model; return its name."""
    library, form = kind.split("-")
    folder = root / kind
    if not folder.exists():
        folder.mkdir(parents=True)
        # weights large enough that images differ
        with torch.random.fork_rng():
            torch.manual_seed(3)
            {"open_clip": _save_open_clip, "transformers": _save_transformers}[library](
                folder, form
            )
    return f"{library}:{folder}"


def timm_siglip(root):
    """Write a SigLIP whose image side is a ViT of timm, as open_clip has them; return its name."""
    folder = root / "timm-siglip"
    folder.mkdir(parents=True)
    vision = {"timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"}
    config = {
        "embed_dim": 64,
        "vision_cfg": {**vision, "image_size": 160},
        "text_cfg": _FORMS["siglip"]["text_cfg"],
        "custom_text": True,
        "init_logit_bias": BIAS,
    }
    (root / "timm-siglip.json").write_text(json.dumps(config))
    open_clip.add_model_config(root / "timm-siglip.json")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = _widen(open_clip.create_model("timm-siglip"))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    pixels = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    facts = {"model_cfg": config, "preprocess_cfg": {**pixels, "resize_mode": "squash"}}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))
    return f"open_clip:{folder}"


def _widen(model):
    """Larger random weights, so that images and words have different embeddings."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.normal_(std=0.2)
            if name == "logit_scale":
                value.fill_(math.log(SCALE))
            if name == "logit_bias":
                value.fill_(BIAS)
    return model.eval()


def _save_open_clip(folder, form):
    config = {"embed_dim": 12, **_FORMS[form]}
    name = f"tiny-tower-{form}"
    (folder / f"{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{name}.json")
    model = _widen(open_clip.create_model(name))

    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    pixels = {
        "mean": [0.48, 0.46, 0.41],
        "std": [0.27, 0.26, 0.28],
        "interpolation": "bicubic",
        "resize_mode": "squash" if form == "siglip" else "shortest",
    }
    facts = {"model_cfg": config, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))


def _save_transformers(folder, form):
    words = dict.fromkeys(["[PAD]", "[SEP]", "[UNK]", *WORDS.split()])
    text = {
        **{**_TOWER, "num_hidden_layers": 1, "max_position_embeddings": 24},
        **{"vocab_size": len(words), "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1},
    }
    vision = {**_TOWER, "image_size": SIZE, "patch_size": 8}
    if form == "clip":
        config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
        model = transformers.CLIPModel(config)
        processor = transformers.CLIPImageProcessor(
            size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE}
        )
    else:
        config = transformers.SiglipConfig(
            text_config={**text, "projection_size": 16}, vision_config=vision
        )
        model = transformers.SiglipModel(config)
        processor = transformers.SiglipImageProcessor(size={"height": SIZE, "width": SIZE})
    _widen(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    _save_words(folder, list(words))


def _save_words(folder, words):
    """A tokenizer of whole words that ends each text with [SEP]."""
    vocab = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("$A [SEP]", None, [("[SEP]", 1)])
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        eos_token="[SEP]",
        unk_token="[UNK]",
        model_max_length=24,
    ).save_pretrained(folder)
