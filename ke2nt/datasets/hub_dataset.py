"""Parquet files of a dataset on the Hugging Face Hub, downloaded when a user asks for it."""

from __future__ import annotations

from pathlib import Path

from ke2nt.errors import DataError
from ke2nt.runtime.hub_names import describe_hub_error

__all__ = ["download_dataset", "hub_id"]

_PREFIX = "hub:"
# Where the hub keeps the Parquet copies of datasets in other formats
_CONVERTED = "refs/convert/parquet"
_FILES = ["*.parquet", "README.md"]


def hub_id(root: str | Path | None) -> str | None:
    """The "user/name" of a root that asks for the hub ("hub:user/name"), or None for a folder."""
    text = str(root)
    return text.removeprefix(_PREFIX) if text.startswith(_PREFIX) else None


def download_dataset(name: str) -> Path:
    """Download the Parquet files of a dataset, or take them from the local cache.

    HF_HUB_OFFLINE and the other settings of huggingface_hub are honored.

    Args:
        name: "user/name".

    Returns:
        Folder with the files, in the cache.

    Raises:
        DataError: The dataset does not exist, has no Parquet files or cannot be reached.
    """
    # importing it takes a while, and most datasets are local
    from huggingface_hub import snapshot_download

    reason = "no Parquet files"
    for revision in (None, _CONVERTED):
        try:
            folder = Path(
                snapshot_download(
                    name, repo_type="dataset", revision=revision, allow_patterns=_FILES
                )
            )
        except Exception as error:  # network, authorization and cache errors of several libraries
            reason = describe_hub_error(error)
            continue
        if next(folder.rglob("*.parquet"), None) is not None:
            return folder
    raise DataError(
        f"the dataset {name!r} cannot be taken from the hub",
        expected="user/name of a dataset with Parquet files",
        found=reason,
        hint="Check the name and the network, or download its Parquet files and name their folder.",
    )
