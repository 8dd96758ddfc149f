"""Image encoders of other packages, by the dotted path of a class or a factory."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ke2nt.checkpoints.hub import is_downloaded
from ke2nt.errors import CheckpointError, ConfigError, ModelError
from ke2nt.models.timm_names import is_timm_name, similar_names
from ke2nt.runtime.extensions import is_dotted_path, load_object

__all__ = ["build_custom_backbone", "check_downloaded_backbone", "is_custom_name"]


def is_custom_name(name: object) -> bool:
    """Whether a backbone's name is a dotted path; the names of timm models come first."""
    return isinstance(name, str) and is_dotted_path(name) and not is_timm_name(name)


def build_custom_backbone(path: str, image_size: int, options: Mapping[str, Any]) -> nn.Module:
    """Build the encoder that a dotted path names.

    A saved model names its backbone in the same way, so only classes derived from `nn.Module` and
    functions annotated to return one are called: a model folder must not call anything else.

    Args:
        path: "package.module.Net".
        image_size: Side of the square input in pixels; passed on if there is such a parameter.
        options: Arguments of the class or function.

    Raises:
        ModelError: It cannot be imported, is not such a class or function, or refuses an argument.
    """
    try:
        factory = load_object(path, kind="backbone")
    except ConfigError as error:
        # it may be a misspelled timm model with a tag, "resnet81.a1_in1k"
        similar = similar_names(path)
        raise ModelError(
            f"unknown backbone {path!r}",
            expected="the name of a timm model, or package.module.Net",
            found=error.found,
            hint=f"Did you mean {', '.join(similar)}?" if similar else error.hint,
        ) from error
    if not _returns_module(factory):
        raise ModelError(
            f"{path!r} is not a backbone",
            expected="a class derived from torch.nn.Module, or a function annotated to return one",
            found=type(factory).__name__,
        )

    # only a network that is built for one size has this parameter
    arguments = dict(options)
    if "image_size" in inspect.signature(factory).parameters:
        arguments["image_size"] = image_size
    try:
        net = factory(**arguments)
    except Exception as error:  # the code of another package may raise anything
        raise ModelError(
            f"backbone {path!r} cannot be built with these options",
            expected="arguments that it accepts, under model.backbone_options",
            found=f"{arguments}: {type(error).__name__}: {error}",
        ) from error

    # an annotation may be wrong
    if not isinstance(net, nn.Module):
        raise ModelError(
            f"backbone {path!r} did not return a torch.nn.Module", found=type(net).__name__
        )
    return net


def check_downloaded_backbone(backbone: object, folder: Path | None) -> None:
    """Refuse to import a module only because a downloaded model names it.

    Args:
        backbone: Name of the encoder in a saved architecture.
        folder: Folder that the model was read from.

    Raises:
        CheckpointError: The folder was downloaded from the hub, and the module of its backbone is
            not imported yet.
    """
    if not is_custom_name(backbone) or folder is None or not is_downloaded(folder):
        return
    module = str(backbone).rpartition(".")[0]
    if module not in sys.modules:
        raise CheckpointError(
            f"the downloaded model needs code of the module {module!r}, which is not imported",
            expected="a module that you imported yourself: a download must not choose what code "
            "runs",
            found=f"backbone {backbone}",
            where=folder,
            hint=f"If you trust that module: import {module} first, or copy the model to a folder "
            "of yours and load it from there.",
        )


def _returns_module(factory: Any) -> bool:
    """Whether calling it gives an `nn.Module`, by its type alone."""
    if inspect.isclass(factory):
        return issubclass(factory, nn.Module)
    if not inspect.isfunction(factory):
        return False
    try:
        returned = typing.get_type_hints(factory).get("return")
    except Exception:  # annotations may name what is not imported
        return False
    return inspect.isclass(returned) and issubclass(returned, nn.Module)
