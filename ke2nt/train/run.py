"""The run directory: everything that a training run leaves behind.

config.yaml     the resolved configuration
run.json        versions, revision, machine, seed, label set, sizes, unreadable images, status
split.json      names of the training and validation samples
log.jsonl       one record an epoch
metrics.json    figures of the kept model on the selection split
model/          the kept model (`KE2NT.from_pretrained`)
checkpoints/    resumable states
report.html     the page to look at
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ke2nt.config.load import C, config_from_dict, config_to_yaml
from ke2nt.config.schema import TrainConfig
from ke2nt.errors import CheckpointError, TrainingError
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.runtime.distributed import is_main

__all__ = ["RunDirectory"]


class RunDirectory:
    """Paths and records of one run.

    Args:
        path: The run's folder.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def model(self) -> Path:
        """Folder of the kept model."""
        return self.path / "model"

    @property
    def checkpoints(self) -> Path:
        """Folder of the resumable states."""
        return self.path / "checkpoints"

    @property
    def report(self) -> Path:
        """The HTML report."""
        return self.path / "report.html"

    def create(self, config: TrainConfig, *, command: str = "ke2nt train") -> None:
        """Start a new run here.

        Args:
            config: Written as the run's configuration.
            command: What starts and resumes such a run, for the message.

        Raises:
            TrainingError: The folder holds another run, or cannot be written.
        """
        if (self.path / "config.yaml").exists():
            raise TrainingError(
                "the run directory holds a run already",
                where=self.path,
                hint=f"Type: {command} --resume {self.path}, or name another with --out",
            )
        try:
            write_text(self.path / "config.yaml", config_to_yaml(config))
        except OSError as error:
            raise TrainingError(
                "cannot write the run directory", where=self.path, found=error
            ) from error

    def begin(
        self,
        config: TrainConfig,
        names: dict[str, Any],
        *,
        resume: bool,
        command: str = "ke2nt train",
    ) -> None:
        """Start a run here, or make sure that the one that goes on still has its data.

        Args:
            config: As of `create`, as is command.
            names: Names of its samples, `split.json`.
            resume: Whether the run goes on.

        Raises:
            TrainingError: As of `create`.
            CheckpointError: The data of the run that goes on has changed.
        """
        if is_main() and not resume:
            self.create(config, command=command)
        begun = (self.path / "split.json").exists()
        if is_main() and not begun:
            self.write("split.json", names)
        elif begun and self.read("split.json") != names:
            raise CheckpointError(
                "the dataset has changed since the run began: its splits differ",
                where=self.path,
                hint="Start a new run.",
            )

    def load_config(self, kind: type[C] = TrainConfig) -> C:  # type: ignore[assignment]
        """The configuration of the run that is here.

        Args:
            kind: As in `ke2nt.config.load.load_config`.

        Raises:
            CheckpointError: There is no run here.
        """
        import yaml

        path = self.path / "config.yaml"
        if not path.is_file():
            raise CheckpointError(
                "no run to resume", expected="a folder with config.yaml", where=self.path
            )
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        return config_from_dict(value, where=path, kind=kind)

    def write(self, name: str, value: Any) -> None:
        """Write one JSON file of the run atomically."""
        write_json(self.path / name, value)

    def read(self, name: str) -> Any:
        """Read one JSON file of the run.

        Raises:
            CheckpointError: It is absent or damaged.
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(
                "cannot read a file of the run", where=self.path / name, found=error
            ) from error

    def write_log(self, records: list[dict[str, Any]]) -> None:
        """Replace the log by some records, one JSON line each."""
        write_text(self.path / "log.jsonl", "".join(json.dumps(r) + "\n" for r in records))
