"""Quality metrics of a generator, measured by a recognizer that took no part in its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from ke2nt.data.sample import FaceSplit
from ke2nt.data.tensors import FaceTensors
from ke2nt.generation.checks import check_generator_fits
from ke2nt.generation.distances import frechet_distance, kernel_distance
from ke2nt.generation.guard import compute_diversity
from ke2nt.generation.networks.confidence_filter import predict_probabilities
from ke2nt.generation.networks.face_space import FaceSpace
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.identity_features import FrozenFeatures, returns_stages
from ke2nt.generation.networks.pixels import from_pixels, to_model_input
from ke2nt.models.base import ExpressionModel
from ke2nt.models.face_weights import dlib_package_file
from ke2nt.runtime.progress import track
from ke2nt.runtime.seeding import torch_generator

__all__ = ["evaluate_generator"]

_BATCH = 64


@dataclass(frozen=True)
class _LabeledFaces:
    """Faces (N, C, S, S) in [−1, 1] and their true or requested expressions (N,)."""

    images: Tensor
    expressions: Tensor


@torch.no_grad()
def evaluate_generator(
    generator: FaceGenerator,
    judge: ExpressionModel,
    *,
    real: FaceSplit,
    training: FaceSplit,
    count: int = 1000,
    seed: int = 0,
    quiet: bool = True,
) -> dict[str, Any]:
    """Compute quality metrics of a generator.

    Args:
        generator: In evaluation mode.
        judge: A recognizer with the same expressions that took no part in the training.
        real: Faces that the generator has not seen.
        training: Faces that it was trained on, to detect copies.
        count: Number of new faces.
        seed: Seed of the new identities and of the expressions that faces are edited to.
        quiet: Show no progress.

    Returns:
        fid, kid: Distance between new faces and `real` in the judge's pooled features, lower is
        better.
        fid_real, kid_real: The same between `training` and `real`, a bound for a perfect generator.
        accuracy_real: The judge's accuracy on `real`, a reference for the next two.
        accuracy_new, accuracy_edits: Share of new faces, and of edits, that the judge classifies as
        the requested expression; edits are to other expressions than the source's.
        identity_kept: Share of edits that are closer to their source than to any other source, in
        dlib's face descriptors, which tell people apart; chance level is 1 / sources. Only where
        the extra `faces` is installed.
        identity_kept_judge: The same in the judge's early features, which mostly compare how light
        and dark lie. Only where the judge's encoder returns its stages.
        sources: Number of sources of that comparison.
        diversity: Mean difference of two new faces of one expression over that of two real faces.
        nearest, nearest_real: Median distance to the nearest training face, root mean square of
        pixels in [0, 1], of new faces, and of `real`. Copies would make it far smaller.
        per_expression: accuracy_new, accuracy_edits (None without such an edit), diversity and
        nearest of each expression: a rare one may be a texture, or one memorized face.

    Raises:
        DataError: The judge has other expressions, or no image can be read.
    """
    check_generator_fits(generator, real.classes, 1)
    check_generator_fits(generator, judge.classes, 1)

    # the same faces serve all metrics
    judge.eval()
    real_faces, training_faces = (
        _read_faces(generator, split, quiet=quiet) for split in (real, training)
    )
    new_faces, edits = _generate_faces(generator, real_faces, count, seed, quiet=quiet)

    # (N, D) features of the judge for the distances
    features = {
        name: _in_batches(
            lambda x: _pooled_features(judge, x),
            faces.images,
            label=f"features of {name} faces",
            quiet=quiet,
        ).numpy()
        for name, faces in (("real", real_faces), ("training", training_faces), ("new", new_faces))
    }

    # (N,) whether the judge agrees with the requested expression, and distance to a copy
    agreed_new, agreed_edits = _agreement(judge, new_faces), _agreement(judge, edits)
    nearest = _nearest(new_faces.images, training_faces.images)

    # rare expressions may be learned worse than others
    diversities = _relative_diversity(new_faces, real_faces, len(generator.classes))
    per_expression = {
        name: {
            "accuracy_new": _mean(agreed_new[new_faces.expressions == k]),
            "accuracy_edits": _mean(agreed_edits[edits.expressions == k]),
            "diversity": diversities[k],
            "nearest": float(nearest[new_faces.expressions == k].median()),
        }
        for k, name in enumerate(generator.classes)
    }
    return {
        "fid": frechet_distance(features["new"], features["real"]),
        "kid": kernel_distance(features["new"], features["real"]),
        "fid_real": frechet_distance(features["training"], features["real"]),
        "kid_real": kernel_distance(features["training"], features["real"]),
        "accuracy_real": _mean(_agreement(judge, real_faces)),
        "accuracy_new": _mean(agreed_new),
        "accuracy_edits": _mean(agreed_edits),
        **_compare_identities(judge, edits.images, real_faces.images, quiet=quiet),
        "sources": len(real_faces.images),
        "diversity": fmean(diversities),
        "nearest": float(nearest.median()),
        "nearest_real": float(_nearest(real_faces.images, training_faces.images).median()),
        "per_expression": per_expression,
    }


def _read_faces(generator: FaceGenerator, split: FaceSplit, *, quiet: bool) -> _LabeledFaces:
    """Read all readable faces of a split as the generator's images."""
    images = FaceTensors(split, generator.image_size, memory="ram", quiet=quiet)
    batches = list(images.batches(_BATCH))
    pixels = torch.cat([batch.pixels for batch in batches])
    indices = torch.cat([batch.indices for batch in batches])

    # batches skip unreadable images, so labels are looked up by position
    labels = torch.from_numpy(split.labels())[indices]
    return _LabeledFaces(from_pixels(pixels, generator.channels), labels)


def _generate_faces(
    generator: FaceGenerator, real: _LabeledFaces, count: int, seed: int, *, quiet: bool
) -> tuple[_LabeledFaces, _LabeledFaces]:
    """Generate new faces, and edit each real face to another expression."""
    classes = len(generator.classes)
    random = torch_generator(seed, "quality")

    # expressions alternate, so that all are equally frequent
    codes = generator.sample_codes(count, random)
    expressions = torch.arange(count) % classes
    new = _in_batches(generator.decode, codes, expressions, label="generating faces", quiet=quiet)

    # an offset of 1 to K − 1 never gives the source's own expression
    offsets = 1 + torch.randint(classes - 1, real.expressions.shape, generator=random)
    goals = (real.expressions + offsets) % classes
    edits = _in_batches(generator, real.images, goals, label="editing faces", quiet=quiet)
    return _LabeledFaces(new, expressions), _LabeledFaces(edits, goals)


def _in_batches(
    function: Callable[..., Tensor], *values: Tensor, label: str = "", quiet: bool = True
) -> Tensor:
    """Apply a function batch by batch and join the results."""
    chunks = list(zip(*(value.split(_BATCH) for value in values), strict=True))
    return torch.cat([function(*chunk) for chunk in track(chunks, label, quiet=quiet)])


def _pooled_features(judge: ExpressionModel, images: Tensor) -> Tensor:
    return judge.features(to_model_input(images, judge.preprocessing))


def _agreement(judge: ExpressionModel, faces: _LabeledFaces) -> Tensor:
    """Whether the judge sees the expression of each face, bool (N,)."""
    # (N, K)
    probabilities = _in_batches(lambda x: predict_probabilities(judge, x), faces.images)
    return probabilities.argmax(1) == faces.expressions


def _mean(values: Tensor) -> float | None:
    """Mean of (N,) booleans; None if there are none."""
    return float(values.float().mean()) if len(values) else None


def _compare_identities(
    judge: ExpressionModel, edits: Tensor, sources: Tensor, *, quiet: bool
) -> dict[str, float]:
    """Share of edits that keep the identity, in each space that is there."""
    spaces: dict[str, nn.Module] = {}
    if dlib_package_file() is not None:
        spaces["identity_kept"] = FaceSpace()
    if returns_stages(judge):
        spaces["identity_kept_judge"] = FrozenFeatures(judge)
    return {
        name: _identity_kept(space, edits, sources, quiet=quiet) for name, space in spaces.items()
    }


def _identity_kept(
    space: Callable[[Tensor], Tensor], edits: Tensor, sources: Tensor, *, quiet: bool = True
) -> float:
    """Share of edits whose nearest source is their own."""
    label = "comparing identities"
    # (edits, sources)
    ours, theirs = (
        _in_batches(space, faces, label=label, quiet=quiet) for faces in (edits, sources)
    )
    distances = torch.cdist(ours, theirs)
    nearest = distances.argmin(dim=1)
    return float((nearest == torch.arange(len(sources))).float().mean())


def _relative_diversity(new: _LabeledFaces, real: _LabeledFaces, classes: int) -> list[float]:
    """Diversity of the new faces of each expression, relative to real faces of all expressions."""
    whole = compute_diversity(real.images)
    return [compute_diversity(new.images[new.expressions == k]) / whole for k in range(classes)]


def _nearest(images: Tensor, others: Tensor) -> Tensor:
    """Distance (N,) of each image to the nearest of the others."""
    # from [−1, 1] to root mean square in [0, 1]
    distances = torch.cdist(images.flatten(1), others.flatten(1)).amin(dim=1)
    return distances / 2.0 / images[0].numel() ** 0.5
