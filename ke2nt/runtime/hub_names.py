"""Whether a name means a folder on this machine or a repository of the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ke2nt.runtime.suggest import did_you_mean

__all__ = ["describe_hub_error", "looks_like_hub_id", "looks_like_path", "offline", "suggest_path"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_PATH_STARTS = ("/", "./", "../", "~", ".\\", "..\\")

# what errors of huggingface_hub mean, by the name of their class; the first that fits
_OFFLINE = "HF_HUB_OFFLINE is set, which forbids the network"
_REASONS = {
    "HFValidationError": "a name that is not of the form user/name",
    "GatedRepoError": "something that its owner must give you access to",
    "RepositoryNotFoundError": "nothing of that name on the hub, or something private",
    "RevisionNotFoundError": "no such revision",
    "OfflineModeIsEnabled": _OFFLINE,
    "LocalEntryNotFoundError": "no copy on this machine, and the hub cannot be reached",
    "DisabledRepoError": "something that the hub has disabled",
}


def looks_like_path(name: str) -> bool:
    """Whether a name can only be a path of this machine.

    That is a name that begins with "/", "./", "../" or "~", ends with a slash, has a backslash or
    a drive letter, or begins with a folder that exists here: beside `runs/`, "runs/mine" is a path.
    """
    if name.startswith(_PATH_STARTS) or name.endswith("/") or "\\" in name or name in (".", ".."):
        return True
    if re.match(r"[A-Za-z]:", name):
        return True
    parent = name.rpartition("/")[0]
    return bool(parent) and Path(parent).is_dir()


def looks_like_hub_id(name: str) -> bool:
    """Whether a name has the form user/name and cannot be a path of this machine."""
    return _HUB_ID.fullmatch(name) is not None and not looks_like_path(name)


def suggest_path(name: str) -> str | None:
    """A hint with the most similar name in the folder where a missing path should be, or None."""
    path = Path(name).expanduser()
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return None
    hint = did_you_mean(path.name, names)
    if hint is None:
        return None
    near = hint.removeprefix("Did you mean '").removesuffix("'?")
    return f"Did you mean {str(path.parent / near)!r}?"


def describe_hub_error(error: BaseException) -> str:
    """What went wrong with the hub, in words of ke2nt, for an error of huggingface_hub."""
    if offline():
        return _OFFLINE

    # libraries wrap the hub's error in one of their own
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    names = {kind.__name__ for each in causes for kind in type(each).__mro__}
    for name, reason in _REASONS.items():
        if name in names:
            return reason

    # answers of the hub have a status, such as 401 for a token that is not valid
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "no permission: the token is absent, not valid, or may not do this"
    return f"an answer of the hub with status {status}" if status else "no connection to the hub"


def offline() -> bool:
    """Whether the user forbids the network (`HF_HUB_OFFLINE`)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")
