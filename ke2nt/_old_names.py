"""Old import paths of documented names: they work for one more version, with a warning.

A finder on `sys.meta_path` provides the old modules. Each of them looks names up in the new module
when they are first used; nothing is imported before. Names that changed inside a module that still
exists are added to that module in the same way.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["MODULES", "NAMES", "install_old_names"]

# old module → new module
MODULES = {
    "ke2nt.adapt.adapt": "ke2nt.adapt.adapt_model",
    "ke2nt.bench.inference": "ke2nt.speed.inference",
    "ke2nt.bench.training": "ke2nt.speed.training",
    "ke2nt.data.pack": "ke2nt.datasets.pack",
    "ke2nt.data.readers.base": "ke2nt.datasets.base",
    "ke2nt.data.readers.catalog": "ke2nt.datasets.catalog",
    "ke2nt.data.synth.dataset": "ke2nt.drawn.dataset",
    "ke2nt.data.synth.render": "ke2nt.drawn.render",
    "ke2nt.evaluation.calibrate": "ke2nt.evaluation.fit_calibration",
    "ke2nt.evaluation.cross": "ke2nt.evaluation.cross_dataset",
    "ke2nt.evaluation.evaluate": "ke2nt.evaluation.evaluate_model",
    "ke2nt.gan.pretrain": "ke2nt.generation.train_generator",
    "ke2nt.gan.quality": "ke2nt.generation.evaluate_generator",
    "ke2nt.gan.train": "ke2nt.generation.train_jointly",
    "ke2nt.lab": "ke2nt.promptlab",
    "ke2nt.lab.scorer": "ke2nt.promptlab.scorer",
    "ke2nt.models.recogniser": "ke2nt.models.base",
    "ke2nt.models.saving": "ke2nt.models.load",
    "ke2nt.predict.detection": "ke2nt.predict.detections",
    "ke2nt.predict.use": "ke2nt.predict.face_settings",
    "ke2nt.synthesis.generator": "ke2nt.generation.networks.generator",
    "ke2nt.text.bank": "ke2nt.banks.text_bank",
    "ke2nt.text.encoder": "ke2nt.vlm.catalog",
    "ke2nt.train.data": "ke2nt.training.training_data",
    "ke2nt.train.run": "ke2nt.training.run_directory",
    "ke2nt.train.train": "ke2nt.training.train_recognizer",
    "ke2nt.vision.catalog": "ke2nt.evaluation.image_encoders",
    "ke2nt.vision.embed": "ke2nt.evaluation.embed_split",
    "ke2nt.zeroshot.evaluate": "ke2nt.evaluation.zero_shot",
}

# module (old or still there) → old name → new name, or "module:name" if it moved elsewhere
NAMES: dict[str, dict[str, str]] = {
    "ke2nt.bench.inference": {"inference_speed": "measure_inference"},
    "ke2nt.data.synth.dataset": {"SyntheticFaces": "DrawnFaces"},
    "ke2nt.evaluation.evaluate": {"tensors_for": "decode_for_model"},
    "ke2nt.evaluation.robustness": {
        "FIGURES": "METRICS",
        "held": "decode_to_memory",
        "robustness": "evaluate_robustness",
    },
    "ke2nt.explain.checks": {
        "deletion_insertion": "compute_deletion_insertion",
        "random_map": "draw_random_map",
        "region_share": "compute_region_share",
    },
    "ke2nt.gan.quality": {"judge_generator": "evaluate_generator"},
    "ke2nt.models.output": {"DeepOutput": "KE2NTOutput"},
    "ke2nt.models.recogniser": {"Recogniser": "ExpressionModel"},
    "ke2nt.predict.detection": {"get_detector": "ke2nt.predict.detectors:get_detector"},
    "ke2nt.predict.intensity": {"intensity": "compute_intensity"},
    "ke2nt.predict.use": {"ModelUse": "FaceSettings"},
    "ke2nt.text.encoder": {
        "EncodedText": "ke2nt.vlm.base:EncodedText",
        "Fingerprint": "ke2nt.vlm.base:Fingerprint",
    },
    "ke2nt.train.data": {"training_split": "load_training_split"},
}

_PACKAGES = {module.rpartition(".")[0] for module in MODULES} - {"ke2nt"}


def install_old_names() -> None:
    """Make the old import paths work."""
    if not any(isinstance(finder, _OldNameFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldNameFinder())


class _OldNameFinder(MetaPathFinder):
    """Finds old modules, and modules in which names have changed."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith("ke2nt."):
            return None
        if fullname in MODULES or (fullname in _PACKAGES and not _exists(fullname, path)):
            is_package = fullname in _PACKAGES
            return ModuleSpec(fullname, _OldModuleLoader(), is_package=is_package)
        if fullname in NAMES:
            return _add_old_names(PathFinder.find_spec(fullname, path))
        return None


def _exists(module: str, path: Sequence[str] | None) -> bool:
    """Whether a package such as `ke2nt.data` is still there."""
    spec = PathFinder.find_spec(module, path)

    # a folder without `__init__.py`, such as one with leftover bytecode, has no origin
    return spec is not None and spec.origin is not None


class _OldModuleLoader(Loader):
    """Creates a module whose names come from the new module, when they are used."""

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = _make_getattr(module)


def _add_old_names(spec: ModuleSpec | None) -> ModuleSpec | None:
    """Let a module that still exists find its old names, too."""
    if spec is None or spec.loader is None:
        return spec
    execute = spec.loader.exec_module

    def exec_module(module: ModuleType) -> None:
        execute(module)
        module.__dict__["__getattr__"] = _make_getattr(module)

    spec.loader.exec_module = exec_module  # type: ignore[method-assign]
    return spec


def _make_getattr(module: ModuleType) -> Callable[[str], Any]:
    """Return the `__getattr__` of a module with old names; a name warns when it is first used."""
    old_module = module.__name__
    default = module.__dict__.get("__getattr__")

    def __getattr__(name: str) -> Any:
        from ke2nt.runtime.renamed import warn_renamed

        new_module, new_name = _find_new_name(old_module, name)
        if new_module is None or name.startswith("__"):
            if default is not None:
                return default(name)
            raise AttributeError(f"module {old_module!r} has no attribute {name!r}")

        # stored in the module, so that each name warns once
        value = getattr(importlib.import_module(new_module), new_name)
        warn_renamed("name", f"{old_module}.{name}", f"{new_module}.{new_name}")
        module.__dict__[name] = value
        return value

    return __getattr__


def _find_new_name(module: str, name: str) -> tuple[str | None, str]:
    """Return the new module and name of an old name; None if the name is not an old one."""
    new_module = MODULES.get(module)
    new_name = NAMES.get(module, {}).get(name)
    if new_name is None:
        return new_module, name
    if ":" in new_name:
        new_module, _, new_name = new_name.partition(":")
    return new_module or module, new_name
