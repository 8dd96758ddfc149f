"""The time a text bank takes: encoded, and read from the cache."""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

from ke2nt.banks.text_bank import TextBank
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.progress import track
from ke2nt.runtime.provenance import machine, package_versions

__all__ = ["cache_speed"]

_TEMPLATE = "a benchmark's picture of {class}."


def cache_speed(
    prompts: str = "paper", encoder: str = "minilm", *, hits: int = 50, quiet: bool = True
) -> dict[str, Any]:
    """Measure the seconds to build one bank: first in a new cache, then on later cache hits.

    Args:
        prompts: A prompt set; it gets one more template, so that no shipped bank covers it.
        encoder: A text encoder whose files are on this machine.
        hits: How often the cached bank is read.
        quiet: Show no progress.

    Returns:
        Plain JSON: `build_seconds`, the median `hit_seconds`, `ratio`, machine.
    """
    prompt_set = PromptSet.load(prompts)
    prompt_set = prompt_set.model_copy(update={"templates": (*prompt_set.templates, _TEMPLATE)})

    with tempfile.TemporaryDirectory() as folder:

        def build_seconds() -> float:
            start = time.perf_counter()
            TextBank.build(prompt_set, encoder=encoder, cache_dir=folder)
            return time.perf_counter() - start

        # the first build encodes and stores, all others read
        first = build_seconds()
        hit = statistics.median(build_seconds() for _ in track(range(hits), "reading", quiet=quiet))

    return {
        "build_seconds": round(first, 4),
        "hit_seconds": round(hit, 6),
        "ratio": round(first / hit, 1),
        "settings": {"prompts": prompts, "encoder": encoder, "hits": hits},
        "machine": machine(),
        "versions": package_versions(),
    }
