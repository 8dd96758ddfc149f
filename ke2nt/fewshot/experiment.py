"""Few-shot methods × shots × seeds on embeddings that are computed once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.sample import FaceSplit
from ke2nt.errors import DataError, ModelError
from ke2nt.evaluation.embed_split import ImageEmbeddings, check_text, embed_split
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.evaluation.trained_encoder import TrainedEncoder
from ke2nt.fewshot.cell import FewShotCell, cell_name, read_cell, write_cell
from ke2nt.fewshot.draws import Draw, choose_pools
from ke2nt.fewshot.features import EmbeddedDraws, Features, embed_draws, to_features
from ke2nt.fewshot.folder import CELLS, check_settings, write_draws
from ke2nt.fewshot.method import FewShotTask
from ke2nt.fewshot.methods import METHODS, UNSEEDED
from ke2nt.fewshot.names import ALL, ZERO_SHOT
from ke2nt.fewshot.options import FewShotOptions
from ke2nt.fewshot.result import FewShotResult
from ke2nt.labels import check_same_labels
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.digest import digest_bytes, digest_json
from ke2nt.runtime.progress import track
from ke2nt.training.names import one_class_error
from ke2nt.vlm.base import ImageEncoder

__all__ = ["few_shot"]

_VERSION = 1  # of the methods; a cell of another version is computed again


def few_shot(
    encoder: str | ImageEncoder,
    prompts: PromptSet | str | Path,
    train: FaceSplit,
    evaluated: FaceSplit,
    validation: FaceSplit | None = None,
    *,
    out: str | Path | None = None,
    options: FewShotOptions | None = None,
    facts: dict[str, Any] | None = None,
    on_cell: Callable[[FewShotResult], None] = lambda _: None,
    **fields: Any,
) -> FewShotResult:
    """Fit every method on K images of each class, and judge it on a split that it never saw.

    Images are embedded once, and only those that are drawn. Hyperparameters are chosen on
    validation images, see `ke2nt.fewshot.draws`; the evaluated split decides nothing.

    Args:
        encoder: As in `embed_split`.
        prompts: A prompt set, the name of a shipped one, or a YAML file.
        train: Images to learn from.
        evaluated: Images to judge on.
        validation: Images to choose hyperparameters on; None for a part of `train`.
        out: Folder for finished cells, from which an interrupted experiment goes on.
        options: The defaults of `FewShotOptions` unless given.
        facts: Further settings to store with the result.
        on_cell: Called after every cell with the result so far.
        **fields: Fields of `FewShotOptions` to change, such as `shots=(1, 4)`.

    Raises:
        ConfigError: An option is not valid, or `out` holds the results of other settings.
        DataError: A class has fewer images than shots, there is only one, or a split is used twice.
        LabelError: The splits have different classes.
        PromptError, ModelError, CheckpointError, TextEncoderError, CacheError: As in `zero_shot`.

    Example:
        >>> reader = get_reader("rafdb", root)
        >>> few_shot("open_clip:ViT-B-16/openai", "simple", reader.load("train"),
        ...          reader.load("test"), shots=(1, 4, 16), out="shots").tables()
    """
    options = replace(options or FewShotOptions(), **fields)
    if len(evaluated.classes) < 2:
        raise one_class_error(evaluated.dataset, evaluated.split, evaluated.classes)
    for part in (train, validation):
        if part is not None:
            check_same_labels(evaluated.classes, part.classes, where=f"{part.dataset} {part.split}")
    pools = choose_pools(train, validation, evaluated)
    prompt_set = prompts if isinstance(prompts, PromptSet) else PromptSet.load(prompts)
    for name in evaluated.classes:
        prompt_set.render(name)

    # texts that do not fit and draws that are not possible fail before any image is embedded
    model = _get_encoder(encoder, options)
    bank = TextBank.build(
        prompt_set,
        encoder=model.text_encoder,
        classes=tuple(evaluated.classes),
        cache_dir=options.cache_dir,
    )
    embedding = options.embedding()
    drawn = embed_draws(model, pools, options.shots, options.seeds, embedding)
    images = embed_split(model, evaluated, **embedding)
    check_text(images, bank)
    space = _TextSpace(images.text_encoder, prompt_set, bank, images.logit_scale, options.cache_dir)

    settings = _describe(model, images, space, pools.rule, (train, validation, evaluated))
    folder = None if out is None else Path(out)
    if folder is not None:
        check_settings(folder, settings)
        write_draws(folder, pools.rule, drawn.draws)

    result = FewShotResult(
        facts={**(facts or {}), **settings},
        classes=tuple(evaluated.classes),
        labels=images.labels,
        names=images.names,
        draws=drawn.draws,
        failed={**drawn.failed, **dict(images.failed)},
        bootstrap=options.bootstrap,
        seed=options.seed,
    )
    experiment = _Experiment(drawn, to_features(images), space, folder)
    plan = list(experiment.plan(options))
    for step in track(plan, "fitting", quiet=options.quiet):
        result.cells.append(experiment.compute(step))
        on_cell(result)
    return result


class _TextSpace(NamedTuple):
    """What images are compared with; the encoder is that of the text."""

    encoder: str
    prompts: PromptSet
    bank: TextBank
    logit_scale: float
    cache_dir: str | Path | None


class _Step(NamedTuple):
    """A cell to compute: the method, and the position of its draw."""

    method: str
    draw: int


@dataclass(frozen=True, eq=False)
class _Experiment:
    """Embedded draws and evaluated images, and where finished cells are stored."""

    drawn: EmbeddedDraws
    evaluated: Features
    space: _TextSpace
    folder: Path | None

    def plan(self, options: FewShotOptions) -> Iterator[_Step]:
        """Yield the cells, method by method; those that would be equal only once."""
        for method in options.methods:
            for position, draw in enumerate(self.drawn.draws):
                first = draw.seed == options.seeds[0]
                if method == ZERO_SHOT and position > 0:
                    continue
                if draw.shots == ALL and method in UNSEEDED and not first:
                    continue
                yield _Step(method, position)

    def compute(self, step: _Step) -> FewShotCell:
        """Read a cell that an earlier run finished, or fit and store it."""
        draw = self.drawn.draws[step.draw]
        shots, seed = (0, 0) if step.method == ZERO_SHOT else (draw.shots, draw.seed)
        task = self._task(draw, step.draw)
        key = self._key(step.method, task)
        name = cell_name(step.method, shots, seed)
        path = None if self.folder is None else self.folder / CELLS / f"{name}.safetensors"
        if path is not None and (cell := read_cell(path, key)) is not None:
            return cell

        start = time.perf_counter()
        fitted = METHODS[step.method](task)
        seconds = time.perf_counter() - start
        logits = fitted.logits(self.evaluated.embeddings, task.logit_scale)
        if not logits.isfinite().all():
            raise DataError(
                f"{name} gives logits that are NaN or infinite",
                hint="The embeddings are damaged: remove them with ke2nt cache clear.",
            )
        cell = FewShotCell(step.method, shots, seed, fitted, logits.float(), seconds)
        if path is not None:
            write_cell(path, cell, key)
        return cell

    def _task(self, draw: Draw, position: int) -> FewShotTask:
        train, validation = self.drawn.features[position]
        return FewShotTask(
            train=train,
            validation=validation,
            bank=self.space.bank,
            logit_scale=self.space.logit_scale,
            shots=draw.shots,
            seed=draw.seed,
            text_encoder=self.space.encoder,
            prompts=self.space.prompts,
            cache_dir=self.space.cache_dir,
        )

    def _key(self, method: str, task: FewShotTask) -> str:
        """Digest of everything that decides a cell."""
        # zero-shot learns from no images
        parts = [self.evaluated]
        parts += [] if method == ZERO_SHOT else [task.train, task.validation]
        tensors = [self.space.bank.embeddings, self.space.bank.raw, self.space.bank.neutral_raw]
        tensors += [tensor for part in parts for tensor in part]
        return digest_json(
            {
                "version": _VERSION,
                "method": method,
                "seed": None if method == ZERO_SHOT else task.seed,
                "logit_scale": task.logit_scale,
                "classes": list(self.space.bank.classes),
                "prompts": self.space.prompts.model_dump(mode="json"),
                "tensors": [digest_bytes(each.contiguous().numpy().tobytes()) for each in tensors],
            }
        )


def _get_encoder(encoder: str | ImageEncoder, options: FewShotOptions) -> ImageEncoder:
    """The encoder, if no other few-shot method stands behind it."""
    if isinstance(encoder, str):
        encoder = get_image_encoder(encoder, cache_dir=options.cache_dir)
    if isinstance(encoder, TrainedEncoder) and encoder.has_adapter:
        raise ModelError(
            "the model already recognizes through an adapter",
            expected="the encoder that it was fitted on",
            found=encoder.id,
        )
    return encoder


def _describe(
    encoder: ImageEncoder,
    images: ImageEmbeddings,
    space: _TextSpace,
    rule: str,
    splits: tuple[FaceSplit, FaceSplit | None, FaceSplit],
) -> dict[str, Any]:
    """Return what all cells of a folder share, plain JSON."""
    train, validation, evaluated = splits
    return {
        "encoder": encoder.id,
        "weights": encoder.weights(),
        "text_encoder": images.text_encoder,
        "logit_scale": images.logit_scale,
        "prompts": space.prompts.name,
        "dataset": evaluated.dataset,
        "train_split": train.split,
        "validation_split": None if validation is None else validation.split,
        "split": evaluated.split,
        "evaluated": digest_json([list(images.names), images.labels.tolist()]),
        "validation_rule": rule,
        "preprocessing": encoder.preprocessing_facts(),
    }
