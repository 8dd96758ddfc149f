"""Train a small CLIP on captioned drawn faces, and save it for open_clip and for transformers.

    python benchmarks/small_clip.py OUT

writes OUT/open_clip (open_clip_config.json, open_clip_model.safetensors) and OUT/transformers (a
CLIP folder with the same weights), and prints the zero-shot accuracy on people it has not seen.
Architecture, tokenizer and loss are open_clip's own; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import transformers
from open_clip.factory import add_model_config
from safetensors.torch import save_file
from torch import Tensor, nn

from ke2nt.config.schema import AugmentConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.labels import CANONICAL
from ke2nt.prompts.articles import fill_template
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.runtime.seeding import derive_seed, seed_everything, torch_generator

MEAN, STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


@dataclass(frozen=True)
class Recipe:
    """What the small model is made from.

    Attributes:
        faces: Drawn faces over all splits; 70 % of the people are trained on.
        size: Side of the images in pixels.
        patch: Side of a patch of the image transformer.
        width: Width of the image transformer; heads are 32 wide.
        layers: Its layers.
        text_width: Width of the text transformer.
        text_steps: Optimizer steps on captions alone.
        steps: Optimizer steps on faces and captions.
        people: People a step, each with one face of every class.
        lr: Peak learning rate of AdamW.
        min_intensity: Least intensity of the drawn expressions.
        occlusion: Share of faces that something covers in part.
        classes: Expressions that are drawn.
        seed: Names it all.
    """

    faces: int = 4000
    size: int = 48
    patch: int = 8
    width: int = 128
    layers: int = 3
    text_width: int = 64
    text_steps: int = 200
    steps: int = 600
    people: int = 8
    lr: float = 1e-3
    min_intensity: float = 0.5
    occlusion: float = 0.05
    classes: tuple[str, ...] = CANONICAL
    seed: int = 0

    def model_config(self) -> dict[str, Any]:
        """The architecture, as open_clip's JSON names it."""
        return {
            "embed_dim": 64,
            "vision_cfg": {
                "image_size": self.size,
                "patch_size": self.patch,
                "width": self.width,
                "layers": self.layers,
                "head_width": 32,
            },
            "text_cfg": {
                "context_length": 77,
                "vocab_size": 49408,
                "width": self.text_width,
                "heads": 2,
                "layers": 2,
            },
        }

    def split(self, split: str) -> FaceSplit:
        """Drawn faces; no person is in two splits."""
        return DrawnFaces(
            self.faces,
            seed=self.seed,
            size=self.size,
            min_intensity=self.min_intensity,
            occlusion=self.occlusion,
            classes=self.classes,
        ).to_split(split)


def captions(classes: tuple[str, ...]) -> list[list[list[str]]]:
    """Every sentence of the prompt sets that the project ships.

    Returns:
        For each template, and for each set's free descriptions, the sentences of each class: the
        template with each of the class's words in turn.
    """
    groups: list[list[list[str]]] = []
    for name in list_resources("prompts"):
        prompts = PromptSet.load(name)
        for template in prompts.templates:
            words = [prompts.classes[name] for name in classes]
            groups.append([[fill_template(template, word) for word in own] for own in words])
        if prompts.descriptions:
            groups.append([list(prompts.descriptions[name]) for name in classes])
    return groups


def train(recipe: Recipe, split: FaceSplit) -> nn.Module:
    """Train with open_clip's contrastive loss.

    Each group of the loss is one person with every expression, beside captions from one template,
    so that nothing but the expression tells the pairs apart.
    """
    seed_everything(recipe.seed)
    name = f"ke2nt-small-{recipe.size}-{recipe.width}"
    model = _create(name, recipe.model_config())
    pixels = next(FaceTensors(split, recipe.size).batches(len(split))).pixels
    people = _people(split)
    tokenizer = open_clip.get_tokenizer(name)
    tokens = [[tokenizer(texts) for texts in group] for group in captions(split.classes)]
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) * 255 for v in (MEAN, STD))
    augment = BatchAugmentation(
        AugmentConfig(flip=0.5, crop=0.8, crop_padding=2, erase=0.0), tuple(mean.flatten().tolist())
    )
    loss = open_clip.ClipLoss()
    rng = np.random.default_rng(derive_seed(recipe.seed, "small clip"))
    model.token_embedding.requires_grad_(False)  # random vectors tell words apart as well
    _learn_words(model, tokens, recipe.text_steps, rng)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe.lr, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.steps, pct_start=0.15
    )
    for step in range(recipe.steps):
        rows = people[rng.integers(len(people), size=recipe.people)]
        generator = torch_generator(recipe.seed, "augment", step)
        images = (augment(pixels[rows.ravel()], generator) - mean) / std
        faces = model.encode_image(images, normalize=True).view(*rows.shape, -1)
        words = model.encode_text(_caption(tokens, rng), normalize=True)
        scale = model.logit_scale.exp()
        value = torch.stack([loss(group, words, scale) for group in faces]).mean()
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))
    return model.eval()


def _learn_words(
    model: nn.Module, tokens: list[list[Tensor]], steps: int, rng: np.random.Generator
) -> None:
    """Bring captions of one class together first: images then learn from words that differ."""
    trained = [p for name, p in model.named_parameters() if "visual" not in name]
    optimizer = torch.optim.AdamW([p for p in trained if p.requires_grad], 1e-3)
    loss = open_clip.ClipLoss()
    for _ in range(steps):
        first, second = (model.encode_text(_caption(tokens, rng), normalize=True) for _ in range(2))
        optimizer.zero_grad()
        loss(first, second, model.logit_scale.exp()).backward()
        optimizer.step()


def _caption(tokens: list[list[Tensor]], rng: np.random.Generator) -> Tensor:
    """Tokens of one caption of each class, all from one template."""
    template = tokens[rng.integers(len(tokens))]
    return torch.stack([own[rng.integers(len(own))] for own in template])


def _people(split: FaceSplit) -> np.ndarray:
    """Positions (P, K) of one face of each class, a row for each set of faces of one person."""
    found: dict[str | None, list[list[int]]] = {}
    for position, sample in enumerate(split.samples):
        own = found.setdefault(sample.subject, [[] for _ in split.classes])
        own[sample.label].append(position)
    rows = [row for own in found.values() for row in zip(*own, strict=False)]
    return np.array(rows)


def save_open_clip(model: nn.Module, recipe: Recipe, folder: Path) -> Path:
    """Write a folder as open_clip itself publishes models."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    preprocess = {
        "mean": MEAN,
        "std": STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    text = json.dumps({"model_cfg": recipe.model_config(), "preprocess_cfg": preprocess}, indent=2)
    (folder / "open_clip_config.json").write_text(text + "\n")
    return folder


def save_transformers(model: nn.Module, recipe: Recipe, folder: Path) -> Path:
    """Write the same weights as a CLIP folder of transformers, tokenizer and processor with it."""
    vision, text = recipe.model_config()["vision_cfg"], recipe.model_config()["text_cfg"]
    config = transformers.CLIPConfig(
        text_config={
            "hidden_size": text["width"],
            "intermediate_size": 4 * text["width"],
            "num_attention_heads": text["heads"],
            "num_hidden_layers": text["layers"],
            "max_position_embeddings": text["context_length"],
            "vocab_size": text["vocab_size"],
            "hidden_act": "gelu",
            "bos_token_id": 49406,
            "eos_token_id": 49407,
        },
        vision_config={
            "hidden_size": vision["width"],
            "intermediate_size": 4 * vision["width"],
            "num_attention_heads": vision["width"] // vision["head_width"],
            "num_hidden_layers": vision["layers"],
            "image_size": vision["image_size"],
            "patch_size": vision["patch_size"],
            "hidden_act": "gelu",
        },
        projection_dim=recipe.model_config()["embed_dim"],
    )
    copy = transformers.CLIPModel(config).eval()
    copy.load_state_dict(_renamed(model.state_dict()), strict=True)
    copy.save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": recipe.size},
        crop_size={"height": recipe.size, "width": recipe.size},
        image_mean=list(MEAN),
        image_std=list(STD),
    ).save_pretrained(folder)
    _save_tokenizer(folder, text["context_length"])
    return folder


def _create(name: str, config: dict[str, Any]) -> nn.Module:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.json"
        path.write_text(json.dumps(config))
        add_model_config(path)
    return open_clip.create_model(name)


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's names for the weights of a CLIP → those of transformers."""
    whole = {
        "logit_scale": "logit_scale",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
        "positional_embedding": "text_model.embeddings.position_embedding.weight",
    }
    parts = {
        "visual.ln_pre.": "vision_model.pre_layrnorm.",
        "visual.ln_post.": "vision_model.post_layernorm.",
        "ln_final.": "text_model.final_layer_norm.",
        "visual.transformer.resblocks.": "vision_model.encoder.layers.",
        "transformer.resblocks.": "text_model.encoder.layers.",
        ".ln_1.": ".layer_norm1.",
        ".ln_2.": ".layer_norm2.",
        ".attn.out_proj.": ".self_attn.out_proj.",
        ".mlp.c_fc.": ".mlp.fc1.",
        ".mlp.c_proj.": ".mlp.fc2.",
    }
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in whole:
            renamed[whole[name]] = value
        elif name in ("visual.proj", "text_projection"):
            place = "visual_projection" if name == "visual.proj" else "text_projection"
            renamed[f"{place}.weight"] = value.T
        elif name != "attn_mask":
            for own, other in parts.items():
                name = name.replace(own, other, 1)
            if ".attn.in_proj_" in name:
                stem, kind = name.split(".attn.in_proj_")
                for letter, third in zip("qkv", value.chunk(3), strict=True):
                    renamed[f"{stem}.self_attn.{letter}_proj.{kind}"] = third
            else:
                renamed[name] = value
    return {name: value.contiguous() for name, value in renamed.items()}


def _save_tokenizer(folder: Path, limit: int) -> None:
    """open_clip's byte-pair tokenizer in the files of CLIP's."""
    with gzip.open(open_clip.tokenizer.default_bpe(), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]
    vocabulary = dict(open_clip.SimpleTokenizer().encoder)
    vocabulary["<|startoftext|>"] = vocabulary.pop("<start_of_text>")
    vocabulary["<|endoftext|>"] = vocabulary.pop("<end_of_text>")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": limit})
    )


def main() -> None:
    """Train, save twice, and say how good it is."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    from ke2nt.evaluation.zero_shot import zero_shot

    recipe, start = Recipe(), time.perf_counter()
    split = recipe.split("train")
    drawn = time.perf_counter()
    model = train(recipe, split)
    done = time.perf_counter()
    folder = save_open_clip(model, recipe, arguments.out / "open_clip")
    save_transformers(model, recipe, arguments.out / "transformers")
    print(f"{len(split)} faces drawn in {drawn - start:.0f} s, trained in {done - drawn:.0f} s")
    test = recipe.split("test")
    for name in ("simple", "ensemble", "synonyms", "facs"):
        report = zero_shot(f"open_clip:{folder}", name, test, bootstrap=0).evaluation.report
        print(f"{name}: accuracy {report.accuracy:.3f} on {report.n} faces of unseen people")


if __name__ == "__main__":
    main()
