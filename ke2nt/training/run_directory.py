"""The run directory: everything that a training run leaves behind.

config.yaml     the resolved configuration
begun.json      the configuration at the start; a resumed run must match it
run.json        versions, revision, machine, seed, label set, sizes, unreadable images, status
start.json      the model that the run started from, if there is one
teacher.json    the model that it learns from, if there is one
split.json      names of the training and validation samples, digests of their labels
training_images.json  digests of the training images, see `training/seen_images.py`
log.jsonl       one record for each epoch
metrics.json    metrics of the kept model on the selection split
model/          the kept model (`KE2NT.from_pretrained`)
checkpoints/    resumable states, until the run has ended
not_finite.*    the batch of a step whose loss was NaN or infinite, if there was one
pretrain/       the first stage of two, where there is one
report.html     the report page
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, overload

from ke2nt.config.load import Config, config_from_dict, config_to_yaml, read_yaml
from ke2nt.config.resume import config_changes
from ke2nt.config.schema import TrainConfig
from ke2nt.errors import CheckpointError, Ke2ntError, TrainingError
from ke2nt.runtime.atomic import write_json, write_text
from ke2nt.runtime.distributed import is_main, together
from ke2nt.training.checkpoint import latest_checkpoint, remove_checkpoints

__all__ = ["RunDirectory"]

_START, _TEACHER = "start.json", "teacher.json"
_ROLES = {_START: "the model to start from", _TEACHER: "the teacher"}
_DESCRIPTION_FILES = {
    "config.yaml",
    "begun.json",
    "split.json",
    "run.json",
    "training_images.json",
    _START,
    _TEACHER,
}
_FAILURE_FILES = {"log.jsonl", "not_finite.json", "not_finite.safetensors"}


class RunDirectory:
    """Paths and records of one run.

    Args:
        path: Folder of the run.
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
    def exists(self) -> bool:
        """Whether the folder holds a run, which can be resumed."""
        return (self.path / "config.yaml").exists()

    @property
    def finished(self) -> bool:
        """Whether the folder holds a run that trained to its end and was evaluated.

        Raises:
            CheckpointError: `run.json` is damaged.
        """
        if not (self.path / "run.json").is_file():
            return False
        facts = self.read("run.json")
        return isinstance(facts, dict) and facts.get("status") == "finished"

    # Start and resume

    def check_free(self, *, command: str = "ke2nt train") -> None:
        """Refuse a folder that holds another run.

        Args:
            command: Command that starts and resumes such a run, for the message.

        Raises:
            TrainingError: The folder holds a run.
        """
        if self.exists:
            raise TrainingError(
                "the run directory already holds a run",
                where=self.path,
                hint=f"Type: {command} --resume {self.path}, or name another folder with --out",
            )

    def create(self, config: TrainConfig, *, command: str = "ke2nt train") -> None:
        """Start a new run in this folder.

        Args:
            config: Written as the run's configuration.
            command: Command that starts and resumes such a run, for the message.

        Raises:
            TrainingError: The folder holds another run, or cannot be written.
        """
        self.check_free(command=command)
        self._write_description({"config.yaml": config_to_yaml(config)})

    def begin(
        self,
        config: TrainConfig,
        split_record: Mapping[str, Any],
        *,
        resume: bool,
        command: str = "ke2nt train",
        start: Mapping[str, Any] | None = None,
        teacher: Mapping[str, Any] | None = None,
    ) -> None:
        """Start a run in this folder, or check that the run in it started with the same settings.

        Args:
            config: The resolved configuration.
            split_record: Names and label digests of the run's samples, kept in `split.json`.
            resume: Whether the folder is expected to hold the run.
            command: Command that resumes such a run, for messages.
            start: Facts of the model that the run starts from; "sha256" is the digest of its
                weights.
            teacher: Likewise of the model that it learns from.

        Raises:
            TrainingError: The folder holds another run, or cannot be written.
            CheckpointError: Images, labels, configuration or one of these models differ from those
                at the start.
        """
        # a run that failed before its data were read has only its configuration
        started = resume and (self.path / "split.json").exists()
        models = {_START: start, _TEACHER: teacher}
        with together():
            if is_main() and not resume:
                self.create(config, command=command)
            if is_main() and not started:
                settings = config.model_dump(mode="json")
                description = {"begun.json": settings, "split.json": split_record}
                description |= {k: v for k, v in models.items() if v is not None}
                self._write_description({k: json.dumps(v) for k, v in description.items()})
        if started:
            self._check_unchanged(config, split_record, models)

    def newest_checkpoint(self, *, resume: bool) -> Path | None:
        """Return the checkpoint that a resumed run continues from; None at its start.

        Raises:
            CheckpointError: The run has ended and its checkpoints are gone: it would start again.
        """
        checkpoint = latest_checkpoint(self.checkpoints) if resume else None
        if resume and checkpoint is None and self.finished:
            raise CheckpointError(
                "the run is finished, and its checkpoints have been removed",
                where=self.path,
                hint="Use its model, or start a new run in another folder; keep=true keeps the "
                "checkpoints of a run.",
            )
        return checkpoint

    def end(self, config: TrainConfig) -> None:
        """Remove the checkpoints of a run that has just finished, unless `keep` is set.

        They are several times as large as the model, and nothing continues from them.
        """
        if not config.keep:
            for folder in (self.checkpoints, self.path / "pretrain" / "checkpoints"):
                remove_checkpoints(folder)

    @overload
    def load_config(self) -> TrainConfig: ...
    @overload
    def load_config(self, kind: type[Config]) -> Config: ...
    def load_config(self, kind: type[Any] = TrainConfig) -> Any:
        """Load the configuration of the run in this folder; its `out` is this folder.

        Args:
            kind: Class of the configuration.

        Raises:
            CheckpointError: There is no run here, or a folder of it is a link to elsewhere.
            ConfigError: The configuration is damaged.
        """
        path = self.path / "config.yaml"
        if not path.is_file():
            raise CheckpointError(
                "no run to resume", expected="a folder with config.yaml", where=self.path
            )

        # the run is untrusted input: nothing is written outside of its folder
        for folder in (self.checkpoints, self.model):
            if folder.is_symlink():
                raise CheckpointError(
                    "a folder of the run is a link to another place, and nothing is written there",
                    where=folder,
                    found=f"a link to {folder.readlink()}",
                    hint="Move the folder itself here.",
                )

        # the folder may have been moved since
        value = {**read_yaml(path), "out": str(self.path)}
        return config_from_dict(value, kind, where=path)

    def _check_unchanged(
        self,
        config: TrainConfig,
        split_record: Mapping[str, Any],
        models: Mapping[str, Mapping[str, Any] | None],
    ) -> None:
        """Raise CheckpointError unless the run started with these settings, samples and models."""
        if not (self.path / "begun.json").is_file():
            raise CheckpointError(
                "an older version of ke2nt started this run, and it cannot be resumed",
                where=self.path,
                hint="Start a new run; model.weights can start it from this run's model.",
            )
        if self.read("split.json") != split_record:
            raise CheckpointError(
                "the dataset has changed since the run began: its splits or labels differ",
                where=self.path,
                hint="Start a new run.",
            )

        for file, facts in models.items():
            self._check_model(file, facts)
        changes = config_changes(self.read("begun.json"), config)
        if changes:
            key, before, now = changes[0]
            raise CheckpointError(
                "the configuration has changed since the run began",
                where=self.path / "config.yaml",
                expected=f"{key}={json.dumps(before)}",
                found=json.dumps(now),
                hint="Restore the value, or start a new run.",
            )

    def _check_model(self, file: str, facts: Mapping[str, Any] | None) -> None:
        """Raise CheckpointError unless the run began with this model, or with none."""
        began_with = _describe_model(self.read(file) if (self.path / file).is_file() else None)
        found = _describe_model(facts)
        if found != began_with:
            raise CheckpointError(
                f"{_ROLES[file]} has changed since the run began",
                where=self.path,
                expected=began_with,
                found=found,
                hint="Restore that model, or start a new run.",
            )

    # Failures

    @contextmanager
    def discard_unless_used(self) -> Iterator[None]:
        """Remove a run that fails before anything is learned, so that it can be started again.

        Removes the files that describe the run, and the folder if nothing else is in it. The log
        and a saved batch of a failed step stay.
        """
        existed, before = self.exists, self._other_files()
        try:
            yield
        except Ke2ntError:
            if is_main() and not existed and self._other_files() <= before:
                with suppress(OSError):  # the folder does not exist, or holds more
                    for name in _DESCRIPTION_FILES:
                        (self.path / name).unlink(missing_ok=True)
                    self.path.rmdir()
            raise

    def _other_files(self) -> set[str]:
        """Names of results, and of files that are not the run's."""
        files = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return files - _DESCRIPTION_FILES - _FAILURE_FILES

    @contextmanager
    def recorded(self, summary: Mapping[str, Any]) -> Iterator[None]:
        """Keep the status in `run.json` up to date while the run trains, and when it stops."""
        if is_main():
            self.write("run.json", {"status": "running", **summary})
        try:
            yield
        except BaseException as error:
            with suppress(OSError):  # perhaps the disk is full, which the error already says
                if is_main():
                    stopped = {**summary, "status": f"stopped: {type(error).__name__}"}
                    self.write("run.json", stopped)
            raise

    # Files

    def write(self, name: str, value: Any) -> None:
        """Write one JSON file of the run atomically."""
        write_json(self.path / name, value)

    def read(self, name: str) -> Any:
        """Read one JSON file of the run.

        Raises:
            CheckpointError: The file is missing or damaged.
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise CheckpointError(
                "cannot read a file of the run", where=self.path / name, found=error
            ) from error

    def write_log(self, records: list[dict[str, Any]]) -> None:
        """Replace the log by these records, one JSON line each."""
        write_text(self.path / "log.jsonl", "".join(json.dumps(r) + "\n" for r in records))

    def _write_description(self, texts: Mapping[str, str]) -> None:
        try:
            for name, text in texts.items():
                write_text(self.path / name, text)
        except OSError as error:
            raise TrainingError(
                "cannot write the run directory",
                where=self.path,
                found=error,
                hint="Free some space, give write access, or name another folder.",
            ) from error


def _describe_model(facts: Any) -> str:
    """Name a model by its digest, as an error shows it; two models that differ have two names."""
    digest = facts.get("sha256") if isinstance(facts, dict) else None
    return "no recorded model" if digest is None else f"weights with the SHA-256 {digest}"
