"""Models of open_clip, created and filled from a file, and the effect of their activation."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ke2nt.errors import TextEncoderError
from ke2nt.vlm.open_clip_checkpoint import explain_misfit, plain_checkpoint

__all__ = ["compare_activations", "load_open_clip"]


def load_open_clip(
    name: str,
    checkpoint: Path,
    *,
    quick_gelu: bool,
    preprocess_cfg: Mapping[str, Any] | None,
) -> Any:
    """Create a model and fill it from a checkpoint, in evaluation mode.

    Args:
        name: Name under which open_clip creates it.
        checkpoint: Any file that `plain_checkpoint` reads.
        quick_gelu: Whether it computes with QuickGELU, whatever its configuration says.
        preprocess_cfg: Preprocessing under open_clip's names; None for the configuration's.

    Raises:
        TextEncoderError: The file cannot be read, or does not fit.
    """
    import open_clip

    with plain_checkpoint(checkpoint) as weights:
        try:
            # without weights first: open_clip itself reads fewer forms of files
            # its random weights are replaced, and must not change what is drawn next
            with _quiet_logging(), torch.random.fork_rng(devices=[]):
                model = open_clip.create_model(
                    name,
                    load_weights=False,
                    pretrained_text=False,
                    force_quick_gelu=quick_gelu,
                    force_preprocess_cfg=preprocess_cfg,
                )
            open_clip.load_checkpoint(model, str(weights))
        except Exception as error:  # whatever a third-party loader raises on a bad file
            raise TextEncoderError(
                "open_clip cannot load the model",
                where=checkpoint,
                found=explain_misfit(error),
                hint=f"The weights must fit the architecture {name}. A checkpoint of transformers "
                "is loaded as transformers:FOLDER.",
            ) from error
    return model.eval()


@torch.no_grad()
def compare_activations(model: Any, tokens: Tensor) -> float | None:
    """Cosine of a probe text's embeddings under GELU and QuickGELU; None if it has neither.

    Args:
        model: A model whose text tower nobody else uses meanwhile.
        tokens: (1, L) tokens of the probe text.
    """
    from open_clip.transformer import QuickGELU

    places = [
        (module, name, child)
        for path, module in model.named_modules()
        if path.partition(".")[0] != "visual"
        for name, child in module.named_children()
        if isinstance(child, nn.GELU | QuickGELU)
    ]
    if not places:
        return None

    # the other activation in every place, and back
    first = model.encode_text(tokens)
    for module, name, child in places:
        setattr(module, name, nn.GELU() if isinstance(child, QuickGELU) else QuickGELU())
    second = model.encode_text(tokens)
    for module, name, child in places:
        setattr(module, name, child)
    return float(nn.functional.cosine_similarity(first.float(), second.float()))


@contextmanager
def _quiet_logging() -> Iterator[None]:
    """Hide open_clip's warning about a model without weights, which are loaded next."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)
