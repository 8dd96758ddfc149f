"""The run directory: everything that a training run leaves behind.

config.yaml     the resolved configuration
run.json        versions, revision, machine, seed, label set, sizes, unreadable images, status
split.json      names of the training and validation samples
log.jsonl       one record an epoch
metrics.json    figures of the kept model on the selection split
model/          the kept model (`KE2NT.from_pretrained`)
checkpoints/    resumable states
pretrain/       the first stage of two, where there is one
report.html     the page to look at
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, overload

from ke2nt.config.load import Config, config_from_dict, config_to_yaml, read_yaml
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

    @property
    def begun(self) -> bool:
        """Whether a run is here, which can be resumed."""
        return (self.path / "config.yaml").exists()

    @property
    def finished(self) -> bool:
        """Whether a run is here that went on to its end, its figures included.

        Raises:
            CheckpointError: `run.json` is damaged.
        """
        if not (self.path / "run.json").is_file():
            return False
        facts = self.read("run.json")
        return isinstance(facts, dict) and facts.get("status") == "finished"

    def check_free(self, *, command: str = "ke2nt train") -> None:
        """Refuse a folder that holds another run, unless that failed before it computed anything.

        Args:
            command: What starts and resumes such a run, for the message.

        Raises:
            TrainingError: It holds one.
        """
        if self.begun and not self._failed_start():
            raise TrainingError(
                "the run directory holds a run already",
                where=self.path,
                hint=f"Type: {command} --resume {self.path}, or name another with --out",
            )

    def create(self, config: TrainConfig, *, command: str = "ke2nt train") -> None:
        """Start a new run here.

        Args:
            config: Written as the run's configuration.
            command: What starts and resumes such a run, for the message.

        Raises:
            TrainingError: The folder holds another run, or cannot be written.
        """
        self.check_free(command=command)
        try:
            for file in self._failed_start() if self.begun else []:
                file.unlink()
            write_text(self.path / "config.yaml", config_to_yaml(config))
        except OSError as error:
            raise TrainingError(
                "cannot write the run directory", where=self.path, found=error
            ) from error

    def _failed_start(self) -> list[Path]:
        """The files of a run that left its settings (and those of its first stage) alone."""
        files = [path for path in self.path.rglob("*") if not path.is_dir()]
        names = {file.name for file in files}
        return files if "split.json" in names <= {"config.yaml", "split.json"} else []

    @overload
    def load_config(self) -> TrainConfig: ...
    @overload
    def load_config(self, kind: type[Config]) -> Config: ...
    def load_config(self, kind: type[Any] = TrainConfig) -> Any:
        """The configuration of the run that is here; its `out` is this folder.

        Args:
            kind: What it configures; a training run unless given.

        Raises:
            CheckpointError: There is no run here, or a folder of it leads elsewhere.
            ConfigError: The configuration is damaged.
        """
        path = self.path / "config.yaml"
        if not path.is_file():
            raise CheckpointError(
                "no run to resume", expected="a folder with config.yaml", where=self.path
            )
        for folder in (self.checkpoints, self.model):
            if folder.is_symlink():
                raise CheckpointError(
                    "a folder of the run leads elsewhere, and nothing is written there",
                    where=folder,
                    found=f"a link to {folder.readlink()}",
                    hint="Move the folder itself here.",
                )
        value = {**read_yaml(path), "out": str(self.path)}  # wherever it has been moved to
        return config_from_dict(value, kind, where=path)

    def begin(
        self,
        config: TrainConfig,
        names: Mapping[str, Any],
        *,
        resume: bool,
        command: str = "ke2nt train",
    ) -> None:
        """Start a run here, or make sure that the one that is here has the same images.

        Args:
            config: The resolved configuration.
            names: Sample names of its splits, kept in `split.json`.
            resume: Whether the run is expected to be here.
            command: What resumes such a run, for messages.

        Raises:
            TrainingError: The folder holds another run, or cannot be written.
            CheckpointError: The images are others than when the run began.
        """
        begun = resume and (self.path / "split.json").exists()
        if is_main() and not resume:
            self.create(config, command=command)
        if is_main() and not begun:
            self.write("split.json", names)
        elif begun and self.read("split.json") != names:
            raise CheckpointError(
                "the dataset has changed since the run began: its splits differ",
                where=self.path,
                hint="Start a new run.",
            )

    @contextmanager
    def recorded(self, summary: Mapping[str, Any]) -> Iterator[None]:
        """Keep `run.json` true while the run goes on, and where it stops."""
        if is_main():
            self.write("run.json", {"status": "running", **summary})
        try:
            yield
        except BaseException as error:
            with suppress(OSError):  # a full disk, perhaps: what stopped the run is what to say
                if is_main():
                    stopped = {**summary, "status": f"stopped: {type(error).__name__}"}
                    self.write("run.json", stopped)
            raise

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
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(
                "cannot read a file of the run", where=self.path / name, found=error
            ) from error

    def write_log(self, records: list[dict[str, Any]]) -> None:
        """Replace the log by some records, one JSON line each."""
        write_text(self.path / "log.jsonl", "".join(json.dumps(r) + "\n" for r in records))
