"""Model folders on the Hugging Face Hub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ke2nt.errors import CheckpointError
from ke2nt.runtime.hub_names import describe_hub_error

__all__ = ["download_folder", "hub_cache", "is_downloaded", "upload_folder"]


def download_folder(hub_id: str, files: Sequence[str]) -> Path:
    """Download files of a hub repository, or take them from the local cache.

    HF_HUB_OFFLINE and the other settings of huggingface_hub are honored.

    Args:
        hub_id: "user/name".
        files: File names to fetch; names that the repository lacks are skipped.

    Returns:
        Folder with the files, in the cache.

    Raises:
        CheckpointError: The repository does not exist or cannot be reached.
    """
    # importing it takes a while, and most models are local
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(files)))
    except Exception as error:  # network, authorization and cache errors of several libraries
        raise CheckpointError(
            f"no folder {hub_id!r}, and the hub has no such model or cannot be reached",
            found=describe_hub_error(error),
            hint="Check the name, or give a folder that save_pretrained wrote.",
        ) from error


def upload_folder(folder: Path, hub_id: str, *, private: bool, message: str) -> str:
    """Upload the files of a folder to a hub repository, which is created if needed.

    The token is that of `hf auth login` or HF_TOKEN.

    Args:
        folder: A model folder.
        hub_id: "user/name".
        private: Whether a new repository is private.
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
    except Exception as error:  # network, authorization and cache errors of several libraries
        raise CheckpointError(
            f"the model cannot be uploaded to the hub as {hub_id!r}",
            found=describe_hub_error(error),
            hint="Type: hf auth login, and check the name.",
        ) from error
    return str(commit)


def hub_cache() -> Path:
    """Download folder of huggingface_hub; it may not exist."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def is_downloaded(folder: Path) -> bool:
    """Whether a folder lies in the download folder of huggingface_hub."""
    return folder.resolve().is_relative_to(hub_cache().resolve())
