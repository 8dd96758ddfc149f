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
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, overload

from ke2nt.config.load import Config, config_from_dict, config_to_yaml, read_yaml
from ke2nt.config.schema import TrainConfig
from ke2nt.errors import CheckpointError, Ke2ntError, TrainingError
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.runtime.distributed import is_main, together
from ke2nt.training.checkpoint import latest_checkpoint

__all__ = ["RunDirectory"]

_ABOUT_ITSELF = {"config.yaml", "begun.json", "split.json", "run.json"}
_OF_A_FAULT = {"log.jsonl", "not_finite.json", "not_finite.safetensors"}
_FREE = {  # where things are, how fast it goes, and what is done once, at the start
    *("out", "device", "compile", "cuda_graphs", "keep_checkpoints", "checkpoint_every"),
    *("data.root", "data.workers", "data.memory", "data.extra.folder", "data.extra.generator"),
    *("text.cache_dir", "model.weights", "start", "target.root", "joint.generator"),
    *("precision", "optim.not_finite", "gan.optim.not_finite"),  # what a failed step asks for
}
_FILES = {  # may lie elsewhere by now
    *("text.prompts", "text.bank", "text.encoder", "adapt.source_prompts", "gan.identity_space"),
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
        """Refuse a folder that holds another run.

        Args:
            command: What starts and resumes such a run, for the message.

        Raises:
            TrainingError: It holds one.
        """
        if self.begun:
            raise TrainingError(
                "the run directory holds a run already",
                where=self.path,
                hint=f"Type: {command} --resume {self.path}, or name another with --out",
            )

    @contextmanager
    def kept_if_used(self) -> Iterator[None]:
        """Take back a run that fails before anything is learned, so that it can be typed again.

        What it wrote about itself is removed, and its folder where nothing else is in it; its log
        and a batch that was kept for looking at stay.
        """
        begun, before = self.begun, self._others()
        try:
            yield
        except Ke2ntError:
            if is_main() and not begun and self._others() <= before:
                with suppress(OSError):  # there is nothing, or the folder holds more
                    for name in _ABOUT_ITSELF:
                        (self.path / name).unlink(missing_ok=True)
                    self.path.rmdir()
            raise

    def _others(self) -> set[str]:
        """Names in the folder of what is learned, or is not of ke2nt's."""
        found = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return found - _ABOUT_ITSELF - _OF_A_FAULT

    def create(self, config: TrainConfig, *, command: str = "ke2nt train") -> None:
        """Start a new run here.

        Args:
            config: Written as the run's configuration.
            command: What starts and resumes such a run, for the message.

        Raises:
            TrainingError: The folder holds another run, or cannot be written.
        """
        self.check_free(command=command)
        self._write_settings({"config.yaml": config_to_yaml(config)})

    def _write_settings(self, texts: Mapping[str, str]) -> None:
        try:
            for name, text in texts.items():
                write_text(self.path / name, text)
        except OSError as error:
            raise TrainingError(
                "cannot write the run directory", where=self.path, found=error
            ) from error

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
        settings = config.model_dump(mode="json")
        with together():
            if is_main() and not resume:
                self.create(config, command=command)
            if is_main() and not begun:
                about = {"begun.json": settings, "split.json": names}
                self._write_settings({name: json.dumps(value) for name, value in about.items()})
        if begun:
            self._check_same(settings, names)

    def _check_same(self, settings: Mapping[str, Any], names: Mapping[str, Any]) -> None:
        if not (self.path / "begun.json").is_file():
            raise CheckpointError(
                "the run was begun by an older version of ke2nt, and cannot be gone on with",
                where=self.path,
                hint="Start a new run, with model.weights from its model if you like.",
            )
        if self.read("split.json") != names:
            raise CheckpointError(
                "the dataset has changed since the run began: its splits or labels differ",
                where=self.path,
                hint="Start a new run.",
            )
        changes = _changes(self.read("begun.json"), settings)
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
    moved = key in _FILES and os.sep in str(then) and not Path(then).expanduser().exists()
    return [] if then == now or moved else [(key, then, now)]
