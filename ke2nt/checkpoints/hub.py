"""Model folders of the Hugging Face Hub. The only file that imports huggingface_hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ke2nt.errors import CheckpointError

__all__ = ["download_folder", "hub_cache", "looks_like_hub_id", "upload_folder"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def looks_like_hub_id(name: str) -> bool:
    """Whether a string has the form user/name."""
    return _HUB_ID.fullmatch(name) is not None


def download_folder(hub_id: str, files: Sequence[str]) -> Path:
    """Folder with the named files of a hub repository, from the local cache where it has them.

    HF_HUB_OFFLINE and the other settings of huggingface_hub are honored.

    Args:
        hub_id: "user/name".
        files: File names to fetch; ones that the repository lacks are left out.

    Raises:
        CheckpointError: The repository cannot be had.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(files)))
    except Exception as error:  # network, authorisation and cache errors of several libraries
        raise CheckpointError(
            f"no folder {hub_id!r}, and no such model can be had from the hub",
            found=f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}",
            hint="Check the name, or give a folder that save_pretrained wrote.",
        ) from error


def upload_folder(folder: Path, hub_id: str, *, private: bool, message: str) -> str:
    """Make or update a hub repository with the files of a folder.

    The token is the one that `hf auth login` or HF_TOKEN gave to huggingface_hub.

    Args:
        folder: A model folder.
        hub_id: "user/name".
        private: Whether a repository that is made now is private.
        message: Commit message.

    Returns:
        Address of the commit.

    Raises:
        CheckpointError: The hub cannot be reached, or refuses.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        api.create_repo(hub_id, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=hub_id, folder_path=folder, repo_type="model", commit_message=message
        )
    except Exception as error:  # network, authorisation and cache errors of several libraries
        raise CheckpointError(
            f"the model cannot be sent to the hub as {hub_id!r}",
            found=f"{type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}",
            hint="Type: hf auth login, and check the name.",
        ) from error
    return str(commit)


def hub_cache() -> Path:
    """Folder in which huggingface_hub keeps what it has downloaded; it may not exist."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)
