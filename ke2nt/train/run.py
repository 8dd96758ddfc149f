"""The run directory: everything that a training run leaves behind.

config.yaml     the resolved configuration
begun.json      the same, as the run began: it is resumed as it was begun
run.json        versions, revision, machine, seed, label set, sizes, unreadable images, status
split.json      names of the training and validation samples, digests of their labels
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
from ke2nt.runtime.distributed import is_main, together
from ke2nt.train.checkpoint import latest_checkpoint

__all__ = ["RunDirectory"]

_SETTINGS = {"config.yaml", "begun.json", "split.json"}
_FREE = {  # where things are, how fast it goes, and what is done once, at the start
    *("out", "device", "compile", "cuda_graphs", "keep_checkpoints", "checkpoint_every"),
    *("data.root", "data.workers", "data.memory", "data.extra.folder", "data.extra.generator"),
    *("text.cache_dir", "model.weights", "start", "target.root", "joint.generator"),
}


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
        return files if "split.json" in names <= _SETTINGS else []

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
        """Start a run here, or make sure that the one that is here began with the same.

        Args:
            config: The resolved configuration.
            names: What tells the samples of its splits and their labels, kept in `split.json`.
            resume: Whether the run is expected to be here.
            command: What resumes such a run, for messages.

        Raises:
            TrainingError: The folder holds another run, or cannot be written.
            CheckpointError: The images, their labels or the configuration are others than when
                the run began.
        """
        begun = resume and (self.path / "split.json").exists()
        with together():
            if is_main() and not resume:
                self.create(config, command=command)
            if is_main() and not begun:
                self.write("begun.json", config.model_dump(mode="json"))
                self.write("split.json", names)
        if not begun:
            return
        if self.read("split.json") != names:
            raise CheckpointError(
                "the dataset has changed since the run began: its splits or labels differ",
                where=self.path,
                hint="Start a new run.",
            )
        changes = _changes(self.read("begun.json"), config.model_dump(mode="json"))
        if changes:
            key, then, now = changes[0]
            raise CheckpointError(
                "the configuration has changed since the run began",
                where=self.path / "config.yaml",
                expected=f"{key}={json.dumps(then)}",
                found=json.dumps(now),
                hint="Put it back, or start a new run.",
            )

    def newest_checkpoint(self, *, resume: bool) -> Path | None:
        """Where a run that is resumed goes on from; None at its start.

        Raises:
            CheckpointError: The run has ended and its checkpoints are gone: it would start anew.
        """
        found = latest_checkpoint(self.checkpoints) if resume else None
        if resume and found is None and self.finished:
            raise CheckpointError(
                "the run is finished, and its checkpoints have been removed",
                where=self.path,
                hint="Use its model, or start a new run in another folder.",
            )
        return found

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


def _changes(then: Any, now: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Keys of a configuration that decide the result and differ, with both values."""
    if key in _FREE:
        return []
    if isinstance(then, dict) and isinstance(now, dict):
        return [
            change
            for name in then.keys() & now.keys()  # a newer version may have more
            for change in _changes(then[name], now[name], f"{key}.{name}".lstrip("."))
        ]
    return [] if then == now else [(key, then, now)]
