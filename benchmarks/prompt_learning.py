"""Processor seconds of an epoch of prompt learning, and of a step beside the bare text tower.

    python benchmarks/prompt_learning.py [--model OPEN_CLIP_FOLDER] [--shots N] [--epochs N]

A step embeds the prompts of K = 8 classes and takes the gradient for M context vectors; the images
are embeddings already, here random ones. "bare tower" is the forward and backward pass of the
model's own `encode_text` over the same K texts, padded to the context length, with gradients for
the token embeddings alone. The two take turns, and processor time is reliable even if other work
shares the cores. Without `--model` it creates open_clip's ViT-B-16 with random weights: the
arithmetic is the same.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from zero_shot_speed import create_random_model

from ke2nt.labels import CANONICAL
from ke2nt.prompt_learning.context import Context
from ke2nt.prompt_learning.learn import LabeledEmbeddings, context_loss, learn_context
from ke2nt.prompt_learning.options import ContextOptions
from ke2nt.vlm.catalog import get_text_encoder
from ke2nt.vlm.prompt_tower import PromptTower

SCALE = 100.0


def random_images(shots: int, dim: int) -> LabeledEmbeddings:
    """Unit vectors around a center of each class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(shots * len(CANONICAL)) % len(CANONICAL)
    centers = torch.randn(len(CANONICAL), dim, generator=generator)
    rows = centers[labels] + torch.randn(len(labels), dim, generator=generator)
    return LabeledEmbeddings(functional.normalize(rows, dim=-1), labels)


def time_step(tower: PromptTower, context: Context, batch: LabeledEmbeddings) -> float:
    """Processor seconds of a forward and backward pass of prompt learning."""
    start = time.process_time()
    context_loss(context(), batch, SCALE).backward()
    return time.process_time() - start


def time_bare(model: torch.nn.Module, tokens: Tensor) -> float:
    """Processor seconds of a forward and backward pass of `encode_text`, for its input alone."""
    for value in model.parameters():
        value.requires_grad_(False)

    # the output of the token table is the leaf
    def as_leaf(_module: object, _inputs: object, output: Tensor) -> Tensor:
        return output.detach().requires_grad_()

    handle = model.token_embedding.register_forward_hook(as_leaf)
    start = time.process_time()
    model.encode_text(tokens).square().sum().backward()
    seconds = time.process_time() - start
    handle.remove()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--context", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        model = args.model or create_random_model("ViT-B-16", Path(folder) / "ViT-B-16")
        encoder = get_text_encoder(f"open_clip:{model}")
        tower = encoder.prompt_learning_tower()

        # steps in turns with the bare tower
        images = random_images(args.shots, encoder.dim)
        options = ContextOptions(context=args.context, epochs=args.epochs)
        batch = LabeledEmbeddings(images.embeddings[:32], images.labels[:32])
        context = Context(tower, CANONICAL, options)
        filler = " ".join(["x"] * args.context)
        tokens = tower.tokenize([f"{filler} {word}." for word in CANONICAL])["input_ids"]
        bare_model = encoder._load_model()
        pairs = [
            (time_step(tower, context, batch), time_bare(bare_model, tokens))
            for _ in range(args.repeats + 1)
        ][1:]

        start = time.process_time()
        learn_context(tower, CANONICAL, images, images, logit_scale=SCALE, options=options)
        epoch = (time.process_time() - start) / args.epochs

    step, bare = (statistics.median(times) for times in zip(*pairs, strict=True))
    steps = -(-len(images) // options.batch_size)
    print(f"{len(CANONICAL)} classes, {args.context} vectors, {torch.get_num_threads()} threads")
    print(f"processor seconds: step {step:.2f}, bare tower {bare:.2f}, ratio {bare / step:.2f}")
    print(f"epoch of {steps} steps ({args.shots} shots, 32 images a step): {epoch:.1f}")


if __name__ == "__main__":
    main()
