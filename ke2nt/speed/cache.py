"""What a text bank costs: encoded anew, and from the cache."""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

from ke2nt.banks.text_bank import TextBank
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.runtime.provenance import machine, package_versions

__all__ = ["cache_speed"]

_TEMPLATE = "a benchmark's picture of {class}."


def cache_speed(
    prompts: str = "paper", encoder: str = "minilm", *, hits: int = 50
) -> dict[str, Any]:
    """Seconds to build one bank: the first time, in a new cache, and on `hits` later ones.

    Args:
        prompts: A prompt set; it gets one more template, so that no shipped bank is of it.
        encoder: A text encoder that is at hand.
        hits: How often the cached bank is read.

    Returns:
        Plain JSON: `build_seconds`, the median `hit_seconds`, `ratio`, machine.
    """
    words = PromptSet.load(prompts)
    words = words.model_copy(update={"templates": (*words.templates, _TEMPLATE)})
    with tempfile.TemporaryDirectory() as folder:

        def seconds() -> float:
            start = time.perf_counter()
            TextBank.build(words, encoder=encoder, cache_dir=folder)
            return time.perf_counter() - start

        built = seconds()
        hit = statistics.median(seconds() for _ in range(hits))
    return {
        "build_seconds": round(built, 4),
        "hit_seconds": round(hit, 6),
        "ratio": round(built / hit, 1),
        "settings": {"prompts": prompts, "encoder": encoder, "hits": hits},
        "machine": machine(),
        "versions": package_versions(),
    }
