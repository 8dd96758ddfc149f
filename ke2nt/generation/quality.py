"""How good a generator is, as a recognizer sees it that took no part in its training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.generation.checks import check_fits
from ke2nt.generation.distances import frechet_distance, kernel_distance
from ke2nt.generation.guard import diversity
from ke2nt.generation.networks.acceptance import probabilities
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.identity_features import FrozenFeatures
from ke2nt.generation.networks.pixels import from_pixels, resized, to_pixels
from ke2nt.models.base import ExpressionModel
from ke2nt.runtime.seeding import torch_generator

__all__ = ["judge_generator"]

_BATCH = 64


@torch.no_grad()
def judge_generator(
    generator: FaceGenerator,
    judge: ExpressionModel,
    *,
    real: FaceSplit,
    learned: FaceSplit,
    count: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of what a generator makes.

    Args:
        generator: In evaluation mode.
        judge: A recognizer that took no part, with the same expressions.
        real: Faces that the generator has not seen.
        learned: Faces that it was trained on, to look for copies.
        count: New faces.
        seed: Of the new identities and of the expressions that faces are edited to.

    Returns:
        fid, kid: Distance of new faces from `real` in the judge's pooled features, lower is better.
        fid_real, kid_real: The same of `learned`, what a perfect generator may reach.
        accuracy_real: The judge's accuracy on `real`; what follows is read beside it.
        accuracy_new, accuracy_edits: Share of new faces, and of edits, in which the judge sees the
        expression asked for; edits are to other expressions than the source's.
        identity_kept: Share of edits nearer to their own source than to every other source with
        the same source expression or not, in the judge's early features; chance is 1 / sources.
        sources: How many sources that was measured with.
        diversity: Mean difference of two new faces of one expression over that of two real faces.
        nearest, nearest_real: Median distance to the nearest training face, root mean square of
        pixels in [0, 1], of new faces, and of `real`; copies would make it far smaller.

    Raises:
        DataError: The judge knows other expressions, or no image can be read.
    """
    check_fits(generator, real.classes, 1)
    check_fits(generator, judge.classes, 1)
    judge.eval()
    draws = torch_generator(seed, "quality")
    faces, labels = _faces(generator, real)
    seen, _ = _faces(generator, learned)
    classes = len(generator.classes)
    wanted = torch.arange(count) % classes
    new = _batched(lambda z, y: generator.decode(z, y), generator.new_codes(count, draws), wanted)
    goal = (labels + 1 + torch.randint(classes - 1, labels.shape, generator=draws)) % classes
    edits = _batched(generator, faces, goal)
    pooled = {
        name: _batched(lambda x: _pooled(judge, x), images).numpy()
        for name, images in (("real", faces), ("learned", seen), ("new", new))
    }
    right = {
        name: float((_batched(lambda x: probabilities(judge, x), x).argmax(1) == y).float().mean())
        for name, x, y in (("real", faces, labels), ("new", new, wanted), ("edits", edits, goal))
    }
    space = FrozenFeatures(judge)
    apart = torch.cdist(_batched(space, edits), _batched(space, faces))
    kept = (apart.argmin(dim=1) == torch.arange(len(faces))).float().mean()
    spread = [diversity(new[wanted == k]) for k in range(classes)]
    return {
        "fid": frechet_distance(pooled["new"], pooled["real"]),
        "kid": kernel_distance(pooled["new"], pooled["real"]),
        "fid_real": frechet_distance(pooled["learned"], pooled["real"]),
        "kid_real": kernel_distance(pooled["learned"], pooled["real"]),
        "accuracy_real": right["real"],
        "accuracy_new": right["new"],
        "accuracy_edits": right["edits"],
        "identity_kept": float(kept),
        "sources": len(faces),
        "diversity": sum(spread) / classes / diversity(faces),
        "nearest": _nearest(new, seen),
        "nearest_real": _nearest(faces, seen),
    }


def _faces(generator: FaceGenerator, split: FaceSplit) -> tuple[Tensor, Tensor]:
    """All readable faces of a split as the generator's images, and their labels."""
    images = FaceTensors(split, generator.image_size, memory="ram")
    batches = list(images.batches(_BATCH))
    pixels = torch.cat([batch.pixels for batch in batches])
    indices = torch.cat([batch.indices for batch in batches])
    return from_pixels(pixels, generator.channels), torch.from_numpy(split.labels())[indices]


def _batched(work: Any, *values: Tensor) -> Tensor:
    """A function's results on batches, joined."""
    chunks = zip(*(value.split(_BATCH) for value in values), strict=True)
    return torch.cat([work(*chunk) for chunk in chunks])


def _pooled(judge: ExpressionModel, images: Tensor) -> Tensor:
    pixels = to_pixels(resized(images, judge.preprocessing.image_size))
    return judge.features(judge.preprocessing.normalize(pixels).expand(-1, 3, -1, -1))


def _nearest(images: Tensor, others: Tensor) -> float:
    """Median over images of the distance to the nearest of the others."""
    apart = torch.cdist(images.flatten(1), others.flatten(1)).amin(dim=1)
    return float(apart.median()) / 2.0 / images[0].numel() ** 0.5
