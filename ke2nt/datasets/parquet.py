"""Parquet files of images and labels. The only file of this room that imports pyarrow."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from ke2nt.datasets.base import list_entries, list_folders
from ke2nt.datasets.class_folders import normalize_split_name
from ke2nt.datasets.text_files import read_text
from ke2nt.errors import DataError
from ke2nt.runtime.optional import import_optional
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["Column", "choose_columns", "find_parquet", "read_column", "read_names"]

Column: TypeAlias = Sequence[Any]
_MAX_FOLDERS = 200  # of one level
_LABELS = ("label", "labels", "emotion", "expression", "class")
# train-00000-of-00001.parquet
_SHARD = re.compile(r"(.+?)-\d+-of-\d+(-[0-9a-f]+)?")


def find_parquet(root: Path) -> dict[str, list[Path]]:
    """Split → files below a root, named as in datasets of Hugging Face; {} without files."""
    splits: dict[str, list[Path]] = {}
    for path in _list_files(root):
        match = _SHARD.fullmatch(path.stem)
        # 0000.parquet lies in the folder of its split
        name = match[1] if match else path.parent.name if path.stem.isdecimal() else path.stem
        splits.setdefault(normalize_split_name(name), []).append(path)
    return splits


def _list_files(root: Path) -> list[Path]:
    """Parquet files in a folder, and up to two levels below it."""
    level, files = [root], []
    for _ in range(3):
        files += [p for f in level for p in list_entries(f) if p.suffix.lower() == ".parquet"]
        level = [child for folder in level for child in list_folders(folder)][:_MAX_FOLDERS]
    return sorted(files)


def choose_columns(path: Path, image: str | None, label: str | None) -> tuple[str, str]:
    """The columns of images and labels.

    Args:
        path: A file.
        image: Column of the images; None for the one that holds images.
        label: Column of the labels; None for the one with names, or a usual name.

    Raises:
        DataError: A column does not exist, or it is unclear which one is meant.
    """
    schema = _open(path).schema_arrow
    names = list(schema.names)
    for column in (image, label):
        if column is not None and column not in names:
            raise DataError(
                f"column {column!r} is missing",
                where=path,
                expected=f"one of {', '.join(names)}",
                hint=did_you_mean(column, names),
            )

    features = _features(path)
    images = [name for name in names if _holds_images(schema.field(name), features.get(name))]
    named = [name for name in names if _class_names(features.get(name))]
    labels = named if len(named) == 1 else [name for name in names if name.lower() in _LABELS]
    return (
        image or _only(images, "images", "image", path, names),
        label or _only(labels, "labels", "label", path, names),
    )


def read_names(root: Path, path: Path, column: str) -> list[str]:
    """Names of a ClassLabel by number, from the file or the README.md beside; [] without them."""
    names = _class_names(_features(path).get(column))
    return names or _readme_names(root / "README.md", column)


def read_column(path: Path, column: str) -> Column:
    """The values of a column; images as the bytes of their files.

    Raises:
        DataError: The file is damaged, or images lie in files outside it.
    """
    try:
        values = _open(path).read(columns=[column]).column(column).to_pylist()
    except Exception as error:  # pyarrow raises nearly anything on damaged files
        raise DataError("a Parquet file cannot be read", where=path, found=error) from error

    if any(isinstance(value, dict) for value in values):
        values = [(value or {}).get("bytes") for value in values]
        if values and not any(values):
            raise DataError(
                "the images lie outside the Parquet file",
                where=path,
                expected="bytes in the column of images",
                hint="Save the dataset with its images: dataset.to_parquet does.",
            )
    return values


def _open(path: Path) -> Any:
    parquet = import_optional("pyarrow.parquet", extra="tables", purpose="reading Parquet files")
    try:
        return parquet.ParquetFile(path)
    except Exception as error:  # pyarrow raises nearly anything on damaged files
        raise DataError("a Parquet file cannot be read", where=path, found=error) from error


def _features(path: Path) -> Mapping[str, Any]:
    """Column → what the package `datasets` noted of it."""
    metadata = _open(path).schema_arrow.metadata or {}
    try:
        facts = json.loads(metadata.get(b"huggingface", b"{}"))
        features = facts.get("info", {}).get("features", {})
    except (ValueError, AttributeError):
        return {}
    return features if isinstance(features, dict) else {}


def _holds_images(field: Any, feature: Any) -> bool:
    if isinstance(feature, dict) and feature.get("_type") == "Image":
        return True
    kind = str(field.type)
    if kind.startswith("struct<"):
        # beside the path, in any order
        return any(child.name == "bytes" for child in field.type)
    return kind in ("binary", "large_binary")


def _class_names(feature: Any) -> list[str]:
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) else []


def _readme_names(path: Path, column: str) -> list[str]:
    """Names of a ClassLabel in the YAML that opens a dataset card."""
    if not path.is_file():
        return []
    match = re.match(r"---\n(.*?)\n---", read_text(path), flags=re.DOTALL)
    try:
        info = (yaml.safe_load(match[1]) if match else {}).get("dataset_info", {})
        features = (info[0] if isinstance(info, list) else info).get("features", [])
        feature = next(f for f in features if f.get("name") == column)
        names = feature["dtype"]["class_label"]["names"]
        return [str(names[key]) for key in sorted(names, key=int)]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError, StopIteration):
        return []


def _only(found: Sequence[str], kind: str, option: str, path: Path, names: Sequence[str]) -> str:
    if len(found) == 1:
        return found[0]
    raise DataError(
        f"no column of {kind} was found" if not found else f"several columns may be {kind}",
        where=path,
        expected=f"one of the columns {', '.join(found or names)}",
        hint=f"Name it with --option {option}=COLUMN.",
    )
