"""Names of vision-language models, checked without torch as far as a name alone can be."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path

from ke2nt.errors import TextEncoderError
from ke2nt.runtime.hub_names import looks_like_hub_id, looks_like_path, suggest_path
from ke2nt.runtime.suggest import did_you_mean

__all__ = ["check_source_name", "open_clip_architectures"]


def check_source_name(name: str) -> None:
    """Check the architecture, folder or hub id in "open_clip:…" or "transformers:…".

    Tags of open_clip's architectures are known to its adapter alone, which imports torch.

    Raises:
        TextEncoderError: There is no such architecture or folder.
    """
    library, _, source = name.partition(":")
    if Path(source).expanduser().is_dir():
        return
    if library == "transformers":
        if not looks_like_hub_id(source):
            raise TextEncoderError(
                f"no folder {source!r}",
                expected="a folder, or a hub id such as ORG/NAME",
                hint=suggest_path(source),
            )
        return

    # what is neither a folder nor an architecture may be a mistyped path
    arch = source.partition("/")[0]
    names = open_clip_architectures()
    if arch in names or _is_registered(arch):
        return
    if looks_like_path(source):
        raise TextEncoderError(
            f"no folder {source!r}",
            expected="a folder with open_clip_config.json",
            hint=suggest_path(source),
        )
    raise TextEncoderError(
        f"open_clip has no architecture {arch!r}",
        expected="open_clip:ARCH/TAG, open_clip:ARCH/CHECKPOINT or open_clip:FOLDER",
        found=name,
        hint=did_you_mean(arch, names),
    )


@functools.cache
def open_clip_architectures() -> frozenset[str]:
    """Names of the architectures that the installed open_clip ships, from its files."""
    spec = importlib.util.find_spec("open_clip")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return frozenset(
        path.stem for folder in folders for path in Path(folder, "model_configs").glob("*.json")
    )


def _is_registered(arch: str) -> bool:
    """Whether a program has added the architecture to open_clip's."""
    open_clip = sys.modules.get("open_clip")
    return open_clip is not None and arch in open_clip.list_models()
