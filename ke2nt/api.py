"""The functions of `import ke2nt`: evaluate, train and zero_shot by names instead of objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ke2nt.config.load import load_config, override_config
from ke2nt.config.schema import TrainConfig
from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation import evaluate_model as model_evaluation
from ke2nt.evaluation import zero_shot as zero_shot_evaluation
from ke2nt.models.load import load_model
from ke2nt.training import train_recognizer
from ke2nt.training.names import check_names
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.seen_images import load_split_of_run

if TYPE_CHECKING:
    from ke2nt.evaluation.score import Evaluation
    from ke2nt.evaluation.zero_shot import ZeroShot
    from ke2nt.models.base import ExpressionModel
    from ke2nt.prompts.prompt_set import PromptSet
    from ke2nt.training.train_recognizer import TrainResult
    from ke2nt.vlm.base import ImageEncoder

__all__ = ["evaluate", "train", "zero_shot"]


def evaluate(
    model: str | Path | ExpressionModel,
    dataset: str | FaceSplit,
    root: str | Path | None = None,
    split: str = "test",
    *,
    dataset_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Evaluation:
    """Evaluate a recognizer on a split of a dataset.

    Args:
        model: A model, or its name for `load_model`: a model of the package, a run directory, a
            saved model's folder or a hub id.
        dataset: A split, or a dataset's name for `load_dataset`.
        root: The dataset's folder; None for drawn faces.
        split: The split of a dataset given by name; "val" of one without it is the part that the
            model's run set aside.
        dataset_options: Options of the dataset, such as {"rule": "majority"}.
        **options: Settings of the evaluation, all with defaults:
            policy: What to do with classes that only one side has: "strict" (an error), "drop" or
            "keep".
            merge: Classes of the data to read as others, such as {"contempt": "disgust"}.
            batch_size: Images in a forward pass.
            device: Where to compute, such as "cuda"; by default where the model is.
            precision: "fp32" (the default), "bf16" or "auto".
            flip_tta: Average each image with its mirror image.
            prior: Class shares that the probabilities assume: "natural", "even", a number between
            1 and 0, a share of each class, or a file; by default the model's.
            bootstrap: Resamples for the intervals; 0 for none.
            seed: Random seed of the resamples.
            quiet: False shows progress on stderr.

    Returns:
        The evaluation: `.report` has accuracy, UAR, macro-F1, classes and confusion matrix,
        `.predictions` the probabilities (N, K), `.to_dict()` everything as plain JSON.

    Raises:
        Ke2ntError: A name is unknown, or the data and the model do not fit together.

    Example:
        >>> result = ke2nt.evaluate("ke2nt/ferplus-faces", "drawn", split="val")
        >>> result.report.accuracy
    """
    data = _load_split(dataset, root, split, dataset_options, model)
    loaded = load_model(model) if isinstance(model, str | Path) else model
    return model_evaluation.evaluate_model(loaded, data, **options)


def train(
    config: str | Path | TrainConfig, *overrides: str, resume: bool = False, **options: Any
) -> TrainResult:
    """Train a recognizer.

    Args:
        config: A configuration, the name of a shipped one, or a YAML file. With `resume`, the
            run directory to continue.
        *overrides: `key=value`, such as "data.root=DIR", "optim.epochs=8".
        resume: Continue an interrupted run.
        **options: quiet: Show no progress on stderr.
            command: A text to store with the run, such as the command line.

    Returns:
        The result: `.run` is the run directory, `.evaluation` the evaluation of the kept model on
        the selection split, `.progress` has the record of every epoch.

    Raises:
        ConfigError: The configuration or an override is not valid.
        Ke2ntError: The run cannot start, or training failed; completed work stays in the run
            directory.
        TrainingStopped: Interrupted with Ctrl-C; the state is saved.

    Example:
        >>> result = ke2nt.train("quickstart", "optim.epochs=2", "out=runs/short")
        >>> model = ke2nt.load_model(result.run.path)
    """
    if isinstance(config, TrainConfig):
        settings = override_config(config, overrides, command="train")
    elif resume:
        settings = override_config(RunDirectory(config).load_config(), overrides)
    else:
        settings = load_config(config, overrides, command="train")
    if not resume:
        check_names(settings)
    return train_recognizer.train(settings, resume=resume, **options)


def zero_shot(
    encoder: str | ImageEncoder,
    prompts: str | Path | PromptSet,
    dataset: str | FaceSplit,
    root: str | Path | None = None,
    split: str = "test",
    *,
    dataset_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> ZeroShot:
    """Evaluate a vision-language model on a split without training, with any words.

    Args:
        encoder: "open_clip:ARCH/TAG-or-path", "transformers:ID-or-folder", "run:DIR" for a trained
            model, or an image encoder.
        prompts: A prompt set, the name of a shipped one, or a YAML file.
        dataset: A split, or a dataset's name for `load_dataset`.
        root: The dataset's folder; None for drawn faces.
        split: The split of a dataset given by name.
        dataset_options: Options of the dataset, such as {"rule": "majority"}.
        **options: Settings of the evaluation, all with defaults:
            classes: Use only these classes of the prompt set.
            policy, merge, device, precision, bootstrap, seed, quiet: As in `evaluate`.
            batch_size: Images in a forward pass.
            cache_dir: Folder of the cached embeddings.

    Returns:
        The result: `.evaluation` as from `evaluate`, `.bank` the text embeddings, and for a trained
        model `.generalized`, the metrics of seen and unseen classes.

    Raises:
        Ke2ntError: A name is unknown, or the data and the prompts do not fit together.

    Example:
        >>> result = ke2nt.zero_shot("open_clip:ViT-B-16/openai", "ensemble", "rafdb", "RAF-DB")
        >>> result.evaluation.report.uar
    """
    data = _load_split(dataset, root, split, dataset_options)
    return zero_shot_evaluation.zero_shot(encoder, prompts, data, **options)


def _load_split(
    dataset: str | FaceSplit,
    root: str | Path | None,
    split: str,
    options: Mapping[str, Any] | None,
    model: object = None,
) -> FaceSplit:
    if isinstance(dataset, FaceSplit):
        return dataset
    reader = get_reader(dataset, root, options)
    if isinstance(model, str | Path):
        return load_split_of_run(model, reader, split)
    return reader.load(split)
