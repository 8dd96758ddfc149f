"""`ke2nt explain`."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.names import check_detector_name, check_files, check_model_name
from ke2nt.cli.option_groups import with_option_groups
from ke2nt.cli.option_values import check_writable
from ke2nt.cli.options import (
    DetectorOption,
    DeviceOption,
    NoDetectFlag,
    OutputOptions,
    TextEncoderOption,
)
from ke2nt.cli.output import print_json, print_line, print_table, print_unreadable
from ke2nt.errors import ConfigError, DataError, ImageReadError
from ke2nt.runtime.formatting import percent, percent_cell

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ke2nt.explain.target import Target
    from ke2nt.models.base import ExpressionModel
    from ke2nt.plots.explanation_plot import ExplainedFace
    from ke2nt.predict.classify import FaceClassifier
    from ke2nt.predict.detections import Detector

__all__ = ["explain"]

_SIDE = 224  # of a face on an image or on the sheet, pixels
_SHEET = "sheet.png"
_MAX_ON_SHEET = 60
_LEGEND = "Orange regions support it, blue ones (occlusion only) speak against it."


@with_option_groups
def explain(
    model: Annotated[
        str, typer.Argument(help="A run, a saved model's folder, a model of the package.")
    ],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Images, folders, patterns.")
    ],
    out: Annotated[
        Path, typer.Option("--out", callback=check_writable, help="Folder for the heat maps.")
    ],
    output: OutputOptions,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method", help="attention, gradcam or occlusion (the default); may be repeated."
        ),
    ] = None,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            help="A class, or with a text head any phrase, such as 'raised inner brows'; may be "
            "repeated. Default: the predicted class.",
        ),
    ] = None,
    text_encoder: TextEncoderOption = None,
    detector: DetectorOption = "centerface",
    no_detect: NoDetectFlag = False,
    device: DeviceOption = None,
) -> None:
    """Show which regions of a face a prediction, a class or any phrase is based on.

    Writes an image for every face, method and target, and all of them on one sheet.

    Example: ke2nt explain runs/dsan photos/ --method attention --method occlusion --out why
    """
    # names are checked before torch is imported
    check_model_name(model)
    if not no_detect:
        check_detector_name(detector)
    from ke2nt.explain.method_names import check_method_name

    for name in method or ():
        check_method_name(name)
    check_files(images)

    from ke2nt.explain.methods import get_method
    from ke2nt.models.load import load_model
    from ke2nt.predict.classify import FaceClassifier
    from ke2nt.predict.detectors import get_detector
    from ke2nt.predict.paths import expand_paths
    from ke2nt.runtime.devices import usable_device
    from ke2nt.runtime.progress import track

    if target and not all(text.strip() for text in target):
        raise ConfigError("--target is empty", expected="a class or a phrase")

    # names are checked before the model is loaded
    methods = {name: get_method(name) for name in method or ["occlusion"]}
    loaded = load_model(model)
    classifier = FaceClassifier(loaded, device=usable_device(device), batch_size=32)
    explainer = _Explainer(
        classifier,
        None if no_detect else get_detector(detector),
        methods,
        [_build_target(loaded, name, text_encoder) for name in target or ()],
        out,
    )

    # videos may be among the inputs, but are not explained
    inputs = list(expand_paths(images))
    names = [str(path) for kind, path in inputs if kind == "image"]
    explanations = _Explanations()
    for name in track(names, "explaining", quiet=output.hides_progress):
        explainer.explain(name, explanations)
    if not explanations.rows:
        raise _nothing_explained(images, explanations, has_inputs=bool(inputs))

    # files first, then what could not be explained, then the table
    facts = explanations.facts(model, methods)
    _write(out, explanations.faces, facts)
    print_unreadable(explanations.unreadable)
    for name in explanations.faceless:
        print(f"no face: {name}", file=sys.stderr)
    if output.json:
        print_json(facts)
        return
    _show(explanations.rows, out)


def _build_target(model: ExpressionModel, name: str, text_encoder: str | None) -> Target:
    """Return a class of the model by its name, or else a phrase."""
    from ke2nt.explain.target import Target
    from ke2nt.predict.custom_classes import build_class_bank

    if name in model.classes or model.bank is None:
        return Target.from_class(model, name)
    bank = build_class_bank(model, model.bank, [name], text_encoder)
    return Target.from_phrase(model, name, bank)


@dataclass
class _Explanations:
    """Everything that was explained, and what could not be."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    faces: list[ExplainedFace] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    faceless: list[str] = field(default_factory=list)

    def facts(self, model: str, methods: Iterable[str]) -> dict[str, Any]:
        """Return all of it as plain JSON."""
        unreadable = [{"name": name, "reason": reason} for name, reason in self.unreadable.items()]
        return {
            "model": model,
            "methods": list(methods),
            "faces": self.rows,
            "unreadable": unreadable,
            "no_face": self.faceless,
        }


@dataclass(frozen=True)
class _Explainer:
    """Finds the faces of an image and writes their heat maps."""

    classifier: FaceClassifier
    detector: Detector | None
    methods: dict[str, Any]
    targets: list[Target]
    out: Path

    def explain(self, name: str, explanations: _Explanations) -> None:
        """Explain every face of an image file."""
        from ke2nt.data.images import decode
        from ke2nt.predict.found_faces import find_faces

        try:
            faces = find_faces(decode(Path(name)), self.detector, self.classifier)
        except ImageReadError as error:
            explanations.unreadable[name] = str(error.found)
            return
        if not faces:
            explanations.faceless.append(name)

        for number, face in enumerate(faces):
            stem = f"{len(explanations.rows):04d}-{Path(name).stem}"
            if number:
                stem += f"-{number}"
            explained, row = self._explain_crop(face.crop, self.out / stem)

            # without a detector the whole image is the face
            box = None if self.detector is None else list(face.box)
            explanations.rows.append({"source": name, "box": box, **row})
            if len(explanations.faces) < _MAX_ON_SHEET:
                explanations.faces.append(explained)

    def _explain_crop(self, crop: Any, stem: Path) -> tuple[ExplainedFace, dict[str, Any]]:
        """Write a face's heat map for every target and method; return its sheet entry and facts."""
        import torch

        from ke2nt.data.images import decode
        from ke2nt.explain.heat import score_faces
        from ke2nt.explain.overlay import tint
        from ke2nt.explain.target import Target
        from ke2nt.plots.explanation_plot import ExplainedFace
        from ke2nt.plots.figure import encode_png
        from ke2nt.runtime.atomic import write_bytes

        # the prediction is what is explained by default
        model = self.classifier.model
        probabilities = self.classifier.classify([crop]).probabilities[0]
        predicted = model.classes[int(probabilities.argmax())]
        confidence = float(probabilities.max())

        # one heat map for every target and method; the score depends on the target alone
        overlays, scores, files = [], {}, []
        for target in self.targets or [Target.from_class(model, predicted)]:
            scores[target.name] = float(score_faces(model, crop[None], target)[0])
            for name, method in self.methods.items():
                image = tint(crop, torch.from_numpy(method(model, crop, target)), _SIDE)
                file = stem.with_name(f"{stem.name}.{name}.{_file_words(target.name)}.png")
                write_bytes(file, encode_png(image))
                files.append(file.name)
                overlays.append((f"{name}: {target.name}", image))

        # (S, S, 3) face at the size of its heat maps
        title = f"{predicted} {percent(confidence, 0)}"
        face = ExplainedFace(stem.name, title, decode(crop, size=_SIDE), overlays)
        facts = {
            "answer": predicted,
            "confidence": confidence,
            "scores": scores,
            "files": files,
        }
        return face, facts


def _file_words(phrase: str) -> str:
    """Return a phrase as part of a file name."""
    return "".join(char if char.isalnum() else "-" for char in phrase)[:40]


def _nothing_explained(
    images: list[str], explanations: _Explanations, *, has_inputs: bool
) -> DataError:
    # a few reasons are enough; a folder may hold thousands of files
    reasons = [f"{name}: {reason}" for name, reason in explanations.unreadable.items()]
    reasons += [f"{name}: no face was found" for name in explanations.faceless]
    if not reasons:
        reasons = ["only videos" if has_inputs else "no image"]
    return DataError(
        "there is no face to explain",
        where=", ".join(images[:3]),
        found="; ".join(reasons[:3]),
        hint="Use --no-detect to treat every image as one face." if explanations.faceless else None,
    )


def _write(out: Path, faces: list[ExplainedFace], facts: dict[str, Any]) -> None:
    """Write the sheet of all faces, and the facts."""
    from ke2nt.plots.explanation_plot import plot_explanations
    from ke2nt.runtime.atomic import write_bytes, write_json

    write_bytes(out / _SHEET, plot_explanations(faces, _LEGEND))
    write_json(out / "explanations.json", facts)


def _show(rows: list[dict[str, Any]], out: Path) -> None:
    cells = [
        [
            row["source"],
            row["answer"],
            percent_cell(row["confidence"], 0),
            ", ".join(row["scores"]),
            ", ".join(f"{score:.2f}" for score in row["scores"].values()),
        ]
        for row in rows
    ]
    print_table(["file", "predicted", "confidence %", "explained", "score#"], cells)
    print_line(f"written: {out / _SHEET}, explanations.json and the heat maps of {len(rows)} faces")
