"""Names in a configuration of `ke2nt adapt`, checked before anything is read, without torch."""

from __future__ import annotations

from pathlib import Path

from ke2nt.checkpoints.find_model import check_model_name
from ke2nt.config.adapt import AdaptConfig, TargetConfig
from ke2nt.datasets.catalog import get_reader
from ke2nt.runtime.atomic import check_folder
from ke2nt.training.names import check_names

__all__ = ["check_adaptation_names"]


def check_adaptation_names(config: AdaptConfig) -> None:
    """Check the run directory, the model to start from, the source and the target.

    Raises:
        Ke2ntError: A name is unknown, or a folder does not have its dataset's layout.
    """
    if config.source_free:
        check_folder(Path(config.out))
        if config.start is not None:
            check_model_name(config.start)
    else:
        check_names(config)
    _check_target(config.target)


def _check_target(target: TargetConfig) -> None:
    # a folder of unsorted images has no reader; any other target opens as it will later
    is_folder = target.name == "folder" and target.root is not None
    if is_folder and Path(str(target.root)).expanduser().is_dir():
        return
    reader = get_reader(target.name, target.root, target.options)
    for split in (target.split, target.report_split):
        if split is not None:
            reader.check_split(split)
