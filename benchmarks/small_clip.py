"""Train a small CLIP on captioned drawn faces, and save it for open_clip and for transformers.

    python benchmarks/small_clip.py OUT

writes OUT/open_clip (open_clip_config.json, open_clip_model.safetensors) and OUT/transformers (a
CLIP folder with the same weights), and prints the zero-shot accuracy on unseen people.
Architecture, tokenizer and loss are open_clip's; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
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
from ke2nt.evaluation.zero_shot import zero_shot
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
        layers: Layers of the image transformer.
        text_width: Width of the text transformer.
        text_steps: Optimizer steps on captions alone.
        steps: Optimizer steps on faces and captions.
        people: People in a step, each with one face of every class.
        lr: Peak learning rate of AdamW.
        min_intensity: Lowest intensity of the drawn expressions.
        occlusion: Share of faces that are partly covered.
        classes: Expressions that are drawn.
        seed: Seed of faces, weights and training.
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
        """Return the architecture as open_clip's `model_cfg`."""
        vision = {
            "image_size": self.size,
            "patch_size": self.patch,
            "width": self.width,
            "layers": self.layers,
            "head_width": 32,
        }
        text = {
            "context_length": 77,
            "vocab_size": 49408,
            "width": self.text_width,
            "heads": 2,
            "layers": 2,
        }
        return {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text}

    def split(self, split: str) -> FaceSplit:
        """Return drawn faces; no person is in two splits."""
        return DrawnFaces(
            self.faces,
            seed=self.seed,
            size=self.size,
            min_intensity=self.min_intensity,
            occlusion=self.occlusion,
            classes=self.classes,
        ).to_split(split)


def captions(classes: tuple[str, ...]) -> list[list[list[str]]]:
    """Return every sentence of the shipped prompt sets.

    Returns:
        For each template, and for each set's free descriptions, the sentences of each class: the
        template with each of the class's words.
    """
    groups: list[list[list[str]]] = []
    for name in list_resources("prompts"):
        prompts = PromptSet.load(name)
        for template in prompts.templates:
            sentences = []
            for class_name in classes:
                words = prompts.classes[class_name]
                sentences.append([fill_template(template, word) for word in words])
            groups.append(sentences)
        if prompts.descriptions:
            groups.append([list(prompts.descriptions[name]) for name in classes])
    return groups


def train(recipe: Recipe, split: FaceSplit) -> nn.Module:
    """Train with open_clip's contrastive loss.

    Each group of the loss is one person with every expression, beside captions from one template,
    so that only the expression distinguishes the pairs.
    """
    seed_everything(recipe.seed)
    name = f"ke2nt-small-{recipe.size}-{recipe.width}"
    model = create_open_clip(name, recipe.model_config())

    pixels = next(FaceTensors(split, recipe.size).batches(len(split))).pixels
    people = _people(split)
    tokenizer = open_clip.get_tokenizer(name)
    tokens = [[tokenizer(texts) for texts in group] for group in captions(split.classes)]

    # words first: images then learn from captions that differ
    rng = np.random.default_rng(derive_seed(recipe.seed, "small clip"))
    model.token_embedding.requires_grad_(False)  # random vectors distinguish words just as well
    _learn_words(model, tokens, recipe.text_steps, rng)

    _learn_pairs(model, recipe, pixels, people, tokens, rng)
    return model.eval()


def _learn_pairs(
    model: nn.Module,
    recipe: Recipe,
    pixels: Tensor,
    people: np.ndarray,
    tokens: list[list[Tensor]],
    rng: np.random.Generator,
) -> None:
    """Train both towers on faces and captions.

    Args:
        model: A CLIP.
        recipe: Number of steps, learning rate and so on.
        pixels: Faces (N, 3, S, S), uint8.
        people: Positions (P, K) of one face of each class.
        tokens: Tokens of the captions, by template and class.
        rng: Chooses people and captions.
    """
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) * 255 for value in (MEAN, STD))
    augment = BatchAugmentation(
        AugmentConfig(flip=0.5, crop=0.8, crop_padding=2, erase=0.0), tuple(mean.flatten().tolist())
    )
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe.lr, betas=(0.9, 0.98), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.steps, pct_start=0.15
    )
    loss = open_clip.ClipLoss()

    for step in range(recipe.steps):
        rows = people[rng.integers(len(people), size=recipe.people)]
        generator = torch_generator(recipe.seed, "augment", step)
        images = (augment(pixels[rows.ravel()], generator) - mean) / std

        # (people, K, D) faces against (K, D) captions
        faces = model.encode_image(images, normalize=True).view(*rows.shape, -1)
        words = model.encode_text(_caption(tokens, rng), normalize=True)
        scale = model.logit_scale.exp()
        value = torch.stack([loss(group, words, scale) for group in faces]).mean()

        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()

        # CLIP's cap
        with torch.no_grad():
            model.logit_scale.clamp_(0, np.log(100))


def _learn_words(
    model: nn.Module, tokens: list[list[Tensor]], steps: int, rng: np.random.Generator
) -> None:
    """Bring captions of one class together, before any image is seen."""
    text_side = [p for name, p in model.named_parameters() if "visual" not in name]
    optimizer = torch.optim.AdamW([p for p in text_side if p.requires_grad], 1e-3)
    loss = open_clip.ClipLoss()

    # two captions of the same class are a pair
    for _ in range(steps):
        first, second = (model.encode_text(_caption(tokens, rng), normalize=True) for _ in range(2))
        optimizer.zero_grad()
        loss(first, second, model.logit_scale.exp()).backward()
        optimizer.step()


def _caption(tokens: list[list[Tensor]], rng: np.random.Generator) -> Tensor:
    """Tokens of one caption of each class, all from one template."""
    template = tokens[rng.integers(len(tokens))]
    return torch.stack([texts[rng.integers(len(texts))] for texts in template])


def _people(split: FaceSplit) -> np.ndarray:
    """Positions (P, K) of one face of each class, a row for each set of faces of one person."""
    # person → positions of each class
    positions: dict[str | None, list[list[int]]] = {}
    for position, sample in enumerate(split.samples):
        by_class = positions.setdefault(sample.subject, [[] for _ in split.classes])
        by_class[sample.label].append(position)

    # as many rows of a person as there are faces of the rarest class
    rows = []
    for by_class in positions.values():
        rows.extend(zip(*by_class, strict=False))
    return np.array(rows)


def save_open_clip(model: nn.Module, recipe: Recipe, folder: Path) -> Path:
    """Write a folder in the format in which open_clip publishes models."""
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
    """Write the same weights as a CLIP folder of transformers, with tokenizer and processor."""
    copy = transformers.CLIPModel(_transformers_config(recipe)).eval()
    copy.load_state_dict(_renamed(model.state_dict()), strict=True)
    copy.save_pretrained(folder)

    transformers.CLIPImageProcessor(
        size={"shortest_edge": recipe.size},
        crop_size={"height": recipe.size, "width": recipe.size},
        image_mean=list(MEAN),
        image_std=list(STD),
    ).save_pretrained(folder)
    _save_tokenizer(folder, recipe.model_config()["text_cfg"]["context_length"])
    return folder


def _transformers_config(recipe: Recipe) -> transformers.CLIPConfig:
    """The same architecture under the names of transformers."""
    config = recipe.model_config()
    vision, text = config["vision_cfg"], config["text_cfg"]
    text_config = {
        "hidden_size": text["width"],
        "intermediate_size": 4 * text["width"],
        "num_attention_heads": text["heads"],
        "num_hidden_layers": text["layers"],
        "max_position_embeddings": text["context_length"],
        "vocab_size": text["vocab_size"],
        "hidden_act": "gelu",
        "bos_token_id": 49406,
        "eos_token_id": 49407,
    }

    # heads are given by number here, by width in open_clip
    vision_config = {
        "hidden_size": vision["width"],
        "intermediate_size": 4 * vision["width"],
        "num_attention_heads": vision["width"] // vision["head_width"],
        "num_hidden_layers": vision["layers"],
        "image_size": vision["image_size"],
        "patch_size": vision["patch_size"],
        "hidden_act": "gelu",
    }
    return transformers.CLIPConfig(
        text_config=text_config,
        vision_config=vision_config,
        projection_dim=config["embed_dim"],
    )


def create_open_clip(name: str, config: dict[str, Any]) -> nn.Module:
    """A model of a new architecture, which open_clip reads from a JSON file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.json"
        path.write_text(json.dumps(config))
        add_model_config(path)
    return open_clip.create_model(name, pretrained_text=False)


# open_clip's names of whole weights, and of parts of names, → those of transformers
_WHOLE_NAMES = {
    "logit_scale": "logit_scale",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
}
_PARTS_OF_NAMES = {
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


def _renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of an open_clip CLIP under the names of transformers."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        if name in _WHOLE_NAMES:
            renamed[_WHOLE_NAMES[name]] = value
        elif name == "visual.proj":
            renamed["visual_projection.weight"] = value.T
        elif name == "text_projection":
            renamed["text_projection.weight"] = value.T
        elif name != "attn_mask":
            renamed.update(_renamed_layer(name, value))
    return {name: value.contiguous() for name, value in renamed.items()}


def _renamed_layer(name: str, value: Tensor) -> dict[str, Tensor]:
    """One weight of a layer; open_clip keeps query, key and value in one matrix."""
    for ours, theirs in _PARTS_OF_NAMES.items():
        name = name.replace(ours, theirs, 1)
    if ".attn.in_proj_" not in name:
        return {name: value}

    stem, parameter = name.split(".attn.in_proj_")
    return {
        f"{stem}.self_attn.{letter}_proj.{parameter}": third
        for letter, third in zip("qkv", value.chunk(3), strict=True)
    }


def _save_tokenizer(folder: Path, limit: int) -> None:
    """Write open_clip's byte-pair tokenizer in the files of a CLIP tokenizer."""
    with gzip.open(open_clip.tokenizer.default_bpe(), "rt", encoding="utf-8") as file:
        merges = file.read().split("\n")[1 : 49152 - 256 - 2 + 1]

    # the two special tokens have other names
    vocabulary = dict(open_clip.SimpleTokenizer().encoder)
    vocabulary["<|startoftext|>"] = vocabulary.pop("<start_of_text>")
    vocabulary["<|endoftext|>"] = vocabulary.pop("<end_of_text>")
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": limit})
    )


def main() -> None:
    """Train, save in both formats, and print the accuracy."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)

    recipe, start = Recipe(), time.perf_counter()
    split = recipe.split("train")
    drawn = time.perf_counter()
    model = train(recipe, split)
    trained = time.perf_counter()
    folder = save_open_clip(model, recipe, arguments.out / "open_clip")
    save_transformers(model, recipe, arguments.out / "transformers")
    print(f"{len(split)} faces drawn in {drawn - start:.0f} s, trained in {trained - drawn:.0f} s")

    # zero-shot on people that training has not seen
    test = recipe.split("test")
    for name in ("simple", "ensemble", "synonyms", "facs"):
        report = zero_shot(f"open_clip:{folder}", name, test, bootstrap=0).evaluation.report
        print(f"{name}: accuracy {report.accuracy:.3f} on {report.n} faces of unseen people")


if __name__ == "__main__":
    main()
