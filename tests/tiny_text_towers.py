"""Untrained models of open_clip with the forms of text towers that are in use."""

from __future__ import annotations

import json
import shutil

import open_clip
import torch
from safetensors.torch import save_file

IMAGE = {"image_size": 16, "layers": 1, "width": 16, "head_width": 8, "patch_size": 8}
TEXT = {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
FORMS = {
    "clip": {"text_cfg": TEXT},
    # CustomTextCLIP with the same text tower, pooled at its end token
    "custom": {"text_cfg": {**TEXT, "pool_type": "eos", "eos_id": 49407}, "custom_text": True},
    # SigLIP: no causal mask, pooled at the last token, padding attended to
    "siglip": {
        "text_cfg": {**TEXT, "no_causal_mask": True, "pool_type": "last", "proj_bias": True},
        "custom_text": True,
        "init_logit_bias": -10,
    },
    # a class token at the end, as in CoCa's text tower
    "embed_cls": {"text_cfg": {**TEXT, "embed_cls": True}, "custom_text": True},
}


def open_clip_folder(root, name, text=None):
    """Write the folder of a model; return the name of its encoder.

    Args:
        root: Where to write it.
        name: Its name, one of FORMS without `text`.
        text: Folder of a model of transformers, which then is the text tower.
    """
    folder = root / name
    if text is None:
        folder.mkdir()
        form = FORMS[name]
    else:
        shutil.copytree(text, folder, ignore=shutil.ignore_patterns("model.safetensors"))
        names = dict.fromkeys(("hf_model_name", "hf_tokenizer_name"), str(folder))
        pooling = {"hf_pooler_type": "mean_pooler", "hf_proj_type": "linear"}
        form = {"text_cfg": {**names, **pooling, "context_length": 9}}
    config = {"embed_dim": 12, "vision_cfg": IMAGE, **form}
    pixels = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
    facts = {"model_cfg": config, "preprocess_cfg": pixels}
    (folder / "open_clip_config.json").write_text(json.dumps(facts))
    torch.manual_seed(3)
    (root / f"prompt-tower-{name}.json").write_text(json.dumps(config))
    open_clip.add_model_config(root / f"prompt-tower-{name}.json")
    model = open_clip.create_model(f"prompt-tower-{name}", pretrained_text=False)
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return f"open_clip:{folder}"
