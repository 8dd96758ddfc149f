"""How fast photos and videos are recognized: cold start, a folder, a video, and other packages.

    python benchmarks/predict_speed.py [--root FERPLUS] [--photos 300] [--frames 300] [--runs 5]
        [--folder DIR] [--parts cold folder video packages] [--python NAME=PYTHON]...

Photos are composed as in `benchmarks/composed_photos.py`, with a long side of 640 px; the video has
1280 × 720 px at 30 frames a second, and three faces that move, one of which comes late. Each number
is that of a process of its own. Cold start is `ke2nt predict photo.jpg`, from the call to the end,
the best of several runs; everything else is timed after the model is loaded and the first photo is
predicted. `--folder` keeps photos and video for the next call. `--python` names the interpreter of
an environment in which another package is installed: fer, facex or deepface, see
`benchmarks/other_packages.py`. Meant for an idle machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from composed_photos import BACKGROUNDS, compose, load_faces
from markdown_tables import format_table
from PIL import Image

from ke2nt.predict.detectors import get_detector
from ke2nt.predict.video_writer import VideoWriter

ENGINES = ("torch", "onnx")
INT8 = "centerface:int8"
# engine, detector, and workers of the folder, 0 for the default
FOLDER_ROWS = (
    *(("torch", "centerface", 1), ("torch", "centerface", 0), ("torch", INT8, 0)),
    *(("onnx", "centerface", 1), ("onnx", "centerface", 0), ("onnx", INT8, 0)),
)
VIDEO_ROWS = (("torch", "centerface"), ("onnx", "centerface"), ("onnx", INT8))
SIDE = 640
VIDEO = (720, 1280)
FPS = 30
FACES = 400  # that photos are composed of
EARLY = 100  # photos after which memory is noted first
PARTS = ("cold", "folder", "video", "packages")


# ------------------------------------------------------------------------------------ inputs


def write_photos(folder: Path, count: int, root: str | None) -> int:
    """Write composed photos as JPEG files; return the number of faces in them."""
    folder.mkdir(parents=True)
    photos = compose(load_faces(root, "val", FACES), count, seed=0)
    for index, photo in enumerate(photos):
        image = Image.fromarray(photo.pixels)
        image.thumbnail((SIDE, SIDE))
        image.save(folder / f"{index:04}.jpg", quality=90)
    return sum(len(photo.faces) for photo in photos)


def write_video(path: Path, count: int, root: str | None) -> None:
    """Write three faces that swing before a photo; the last comes halfway.

    They are the first that the detector finds on a gray wall, and bring a part of it.
    """
    rng = np.random.default_rng(0)
    background = np.clip(BACKGROUNDS["photo"](rng, *VIDEO), 0, 255).astype(np.uint8)
    detector = get_detector("centerface:fast")
    walls = [
        np.pad(image, ((24, 24), (24, 24), (0, 0)), constant_values=128)
        for image, _ in load_faces(root, "val", 60)
    ]
    faces = [Image.fromarray(wall) for wall in walls if detector.detect(wall)]
    sides, centers = (460, 300, 200), ((330, 330), (760, 250), (1080, 500))

    video = VideoWriter(path)
    for number in range(count):
        frame = Image.fromarray(background)
        for index, (face, side, (x, y)) in enumerate(zip(faces, sides, centers, strict=False)):
            if index == 2 and number < count // 2:
                continue
            # a swing of 0.6 of the face's side in three seconds, and a slower one up and down
            angle = 2 * np.pi * number / FPS
            left = x + 0.3 * side * np.sin(angle / 3 + index) - side / 2
            top = y + 0.2 * side * np.sin(angle / 5 + index) - side / 2
            frame.paste(face.resize((side, side)), (round(left), round(top)))
        video.write(np.asarray(frame), number / FPS)
    video.close()


# --------------------------------------------------------------------------------- measurements


def time_process(python: str, *words: object) -> tuple[str, float, float]:
    """Run a process: the last line it prints, seconds by the clock, and of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    command = [python, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return done.stdout.strip().rpartition("\n")[2], wall, cpu


def run_again(*words: object) -> dict[str, Any]:
    """Run this script as a child process with some words."""
    return json.loads(time_process(sys.executable, __file__, "--child", *words)[0])


def best_of(runs: int, python: str, *words: object) -> tuple[float, float]:
    """Lowest seconds by the clock and of processor time of several runs."""
    found = [time_process(python, *words)[1:] for _ in range(runs)]
    return min(wall for wall, _ in found), min(cpu for _, cpu in found)


def measure_stream(stream: Any) -> dict[str, Any]:
    """Take all results of a stream; time, memory and the faces found."""
    clock, processor = time.perf_counter(), time.process_time()
    early, count, faces = 0.0, 0, []
    for result in stream:
        count += 1
        early = peak_mib() if count == EARLY else early
        faces += [(row.frame, row.label, row.box) for row in result.rows if row.box is not None]
    wall, cpu = time.perf_counter() - clock, time.process_time() - processor
    memory = {"early": early, "peak": peak_mib()}
    return {"count": count, "wall": wall, "cpu": cpu, "faces": faces, **memory}


def peak_mib() -> float:
    """Highest memory of this process so far."""
    # getrusage would count the process that started this one, too
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) / 1024


def run_in_child(kind: str, engine: str, detector: str, path: str, number: int) -> dict[str, Any]:
    """Predict a folder with some workers, or a video searched every n-th frame."""
    from ke2nt.predict.recognizer import Recognizer

    workers = number if kind == "folder" and number else None
    recognizer = Recognizer.from_pretrained(engine=engine, detector=detector, workers=workers)
    if kind == "folder":
        recognizer.predict(sorted(Path(path).iterdir())[0])
        return measure_stream(recognizer.stream_images(path))
    list(recognizer.predict_video(path, limit=1))
    return measure_stream(recognizer.stream_video(path, detect_every=number))


# --------------------------------------------------------------------------------------- tables


def table_of_cold_start(photo: Path, runs: int) -> str:
    rows = []
    for engine in ENGINES:
        words = ("-m", "ke2nt", "predict", photo, "--engine", engine, "--quiet")
        wall, cpu = best_of(runs, sys.executable, *words)
        rows.append([engine, f"{wall:.2f}", f"{cpu:.2f}"])
    return format_table(["engine", "`ke2nt predict photo.jpg`, s", "CPU s"], rows)


def table_of_folder(folder: Path) -> str:
    rows = []
    for engine, detector, workers in FOLDER_ROWS:
        found = run_again("folder", engine, detector, folder, workers)
        count = found["count"]
        rows.append(
            [
                *(engine, f"`{detector}`", str(workers or "default"), str(len(found["faces"]))),
                f"{count / found['wall']:.1f}",
                f"{1000 * found['cpu'] / count:.0f}",
                *(f"{found['early']:.0f}", f"{found['peak']:.0f}"),
            ]
        )
    columns = ["engine", "detector", "workers", "faces", "photos/s", "CPU ms each"]
    return format_table([*columns, f"MiB after {EARLY}", "MiB at the end"], rows)


def table_of_video(video: Path) -> str:
    rows = []
    for engine, detector in VIDEO_ROWS:
        every_frame: list[Any] = []
        for every in (1, 2, 5):
            found = run_again("video", engine, detector, video, every)
            count, faces = found["count"], found["faces"]
            every_frame = every_frame or faces
            kept, overlap, same = compare_faces(every_frame, faces)
            rows.append(
                [
                    *(engine, f"`{detector}`", str(every), f"{count / found['wall']:.1f}"),
                    *(f"{1000 * found['cpu'] / count:.0f}", f"{found['peak']:.0f}"),
                    *(str(len(faces)), f"{100 * kept:.1f}", f"{overlap:.3f}", f"{100 * same:.1f}"),
                ]
            )
    columns = ["engine", "detector", "`--detect-every`", "frames/s", "CPU ms each", "peak MiB"]
    return format_table([*columns, "faces", "found too %", "mean IoU with 1", "same label %"], rows)


def compare_faces(first: Sequence[Any], second: Sequence[Any]) -> tuple[float, float, float]:
    """Share of the first faces that the second have, their mean overlap, share of equal labels."""
    from ke2nt.predict.tracking import box_iou, match_boxes

    overlaps, same = [], 0
    for frame in {face[0] for face in first}:
        ones, others = ([face for face in faces if face[0] == frame] for faces in (first, second))
        boxes, other_boxes = [face[2] for face in ones], [face[2] for face in others]
        iou = box_iou(boxes, other_boxes)
        for one, other in match_boxes(boxes, other_boxes, min_iou=0.3).items():
            overlaps.append(iou[one, other])
            same += ones[one][1] == others[other][1]
    count = max(1, len(overlaps))
    return len(overlaps) / max(1, len(first)), sum(overlaps) / count, same / count


def table_of_packages(folder: Path, pythons: dict[str, str], runs: int) -> str:
    script = Path(__file__).with_name("other_packages.py")
    rows, notes = [], []
    for name, python in pythons.items():
        try:
            wall, cpu = best_of(runs, python, script, name, folder, 1)
            found = json.loads(time_process(python, script, name, folder, 0)[0])
        except RuntimeError as error:
            rows.append([name, *["–"] * 5])
            notes.append(f"{name}: {error}")
            continue
        rows.append(
            [
                *(f"{name} {found['version']}", f"{wall:.2f}", f"{cpu:.2f}"),
                *(f"{found['count'] / found['wall']:.1f}", str(found["faces"])),
                f"{found['peak']:.0f}",
            ]
        )
    columns = ["package", "one photo, s", "CPU s", "photos/s", "faces", "peak MiB"]
    return format_table(columns, rows) + "".join(f"\n{note}\n" for note in notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", help="FER+; default: drawn faces")
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        *words, number = arguments.child
        print(json.dumps(run_in_child(*words, int(number))))
        return

    pythons = dict(pair.split("=", 1) for pair in arguments.python)
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.folder or Path(scratch)
        photos, video = folder / "photos", folder / "video.mp4"
        if not photos.is_dir():
            count = write_photos(photos, arguments.photos, arguments.root)
            print(f"{arguments.photos} photos with {count} faces", file=sys.stderr)
        if not video.is_file():
            write_video(video, arguments.frames, arguments.root)

        if "cold" in arguments.parts:
            print(table_of_cold_start(sorted(photos.iterdir())[0], arguments.runs), flush=True)
        if "folder" in arguments.parts:
            print(table_of_folder(photos), flush=True)
        if "video" in arguments.parts:
            print(table_of_video(video), flush=True)
        if "packages" in arguments.parts and pythons:
            print(table_of_packages(photos, pythons, min(2, arguments.runs)), flush=True)


if __name__ == "__main__":
    main()
