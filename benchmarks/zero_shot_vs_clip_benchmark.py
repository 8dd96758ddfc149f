"""`ke2nt zero-shot` beside the independent package clip-benchmark: the same answers, less waiting.

    pip install clip-benchmark webdataset pycocoevalcap requests 'numpy<2.4'
    python benchmarks/zero_shot_vs_clip_benchmark.py [--model OPEN_CLIP_FOLDER] [--images N]

Both read the same drawn faces with the same checkpoint, float32, batches of 64, two threads.
Agreement is checked in one process, on the numbers before any rounding. Times are those of the two
commands as a user types them, from start to printed figures; they take turns. Without a model it
makes one of open_clip's architecture ViT-B-32 with random weights: the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from clip_benchmark.metrics import zeroshot_classification as peer
from PIL import Image
from zero_shot_speed import faces_on_disk, random_model

from ke2nt.data.sample import FaceSplit
from ke2nt.datasets.catalog import get_reader
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.evaluation.zero_shot import class_logits, zero_shot
from ke2nt.prompts.prompt_set import PromptSet

WORDS = {
    "neutral": "neutral",
    "happiness": "happy",
    "surprise": "surprised",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "contempt": "contemptuous",
}
# No article before the word, as the peer does not inflect it.
TEMPLATES = (
    "a photo of the {class} face.",
    "a picture of somebody who looks {class}.",
    "this person is {class}.",
    "a portrait; the expression is {class}.",
    "somebody feeling {class}.",
    "the face looks {class}.",
)


def prompt_set(name: str, templates: tuple[str, ...], classes: tuple[str, ...]) -> PromptSet:
    """One adjective for each class."""
    words = {c: [WORDS[c]] for c in classes}
    return PromptSet(name=name, templates=list(templates), classes=words, anchor="neutral")


def web_dataset(split: FaceSplit, words: PromptSet, root: Path) -> None:
    """The files of a split as the peer reads them: two tar files, class names, templates."""
    (root / "test").mkdir(parents=True, exist_ok=True)
    for shard in range(2):
        with tarfile.open(root / "test" / f"{shard}.tar", "w") as tar:
            for i in range(shard, len(split), 2):
                sample = split.samples[i]
                tar.add(sample.source, f"{i:06d}.png")
                label = root / "label.cls"
                label.write_text(str(sample.label))
                tar.add(label, f"{i:06d}.cls")
    (root / "test" / "nshards.txt").write_text("2")
    (root / "classnames.txt").write_text("\n".join(WORDS[c] for c in split.classes))
    lines = [template.replace("{class}", "{c}") for template in words.templates]
    (root / "zeroshot_classification_templates.txt").write_text("\n".join(lines))


def agreement(folder: Path, split: FaceSplit, words: PromptSet, home: Path) -> None:
    """Print how far logits, predictions and figures are apart."""
    spec = f"open_clip:{folder}"
    ours = zero_shot(spec, words, split, cache_dir=home, precision="fp32", bootstrap=0)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    class Faces(torch.utils.data.Dataset[Any]):
        classes = tuple(WORDS[c] for c in split.classes)

        def __len__(self) -> int:
            return len(split)

        def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
            return transform(Image.open(split.samples[i].source)), split.samples[i].label

    loader = torch.utils.data.DataLoader(Faces(), batch_size=64)
    lines = [template.replace("{class}", "{c}") for template in words.templates]
    with open(os.devnull, "w") as bars, contextlib.redirect_stderr(bars):
        classifier = peer.zero_shot_classifier(
            model.eval(), tokenizer, Faces.classes, lines, "cpu", amp=False
        )
        logits, target = peer.run_classification(model, classifier, loader, "cpu", amp=False)
        figures = peer.evaluate(model, loader, tokenizer, Faces.classes, lines, "cpu", amp=False)
    own = class_logits(ours.images, ours.bank) * (100.0 / ours.images.logit_scale)
    report = ours.evaluation.report
    same = own.argmax(axis=1) == logits.numpy().argmax(axis=1)
    assert np.array_equal(target.numpy(), ours.images.labels)
    print(f"largest difference of a logit at scale 100: {np.abs(own - logits.numpy()).max():.2g}")
    print(f"equal predictions: {same.sum()} of {len(same)}")
    print(
        f"accuracy {report.accuracy:.6f} and {figures['acc1']:.6f}, "
        f"mean class recall {report.uar:.6f} and {figures['mean_per_class_recall']:.6f}"
    )


def timed(command: list[str], environment: dict[str, str], name: str) -> tuple[float, float]:
    """Seconds of a command, and the accuracy that it reports; its processor time is printed."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"  {name}: {seconds:.1f} s, {spent:.1f} s of processor time", flush=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")
    if "--output" in command:
        value = json.loads(Path(command[command.index("--output") + 1]).read_text())
        return seconds, value["metrics"]["acc1"]
    return seconds, json.loads(done.stdout)["accuracy"]


def _own_command(home: Path, i: int, folder: Path) -> list[str]:
    options = {
        "--encoder": f"open_clip:{folder}",
        "--prompts": home / f"set{i}.yaml",
        "--dataset": "folder",
        "--root": home / "faces",
        "--split": "test",
        "--device": "cpu",
    }
    pairs = [str(part) for pair in options.items() for part in pair]
    return [sys.executable, "-m", "ke2nt", "zero-shot", *pairs, "--json"]


def _peer_command(home: Path, i: int, folder: Path) -> list[str]:
    options = {
        "--dataset": "wds/faces",
        "--dataset_root": home / f"wds{i}",
        "--model": f"local-dir:{folder}",
        "--pretrained": "",
        "--task": "zeroshot_classification",
        "--num_workers": 2,
        "--batch_size": 64,
        "--output": home / f"peer{i}.json",
    }
    pairs = [str(part) for pair in options.items() for part in pair]
    command = [sys.executable, "-m", "clip_benchmark.cli", "eval", *pairs]
    return [*command, "--no_amp", "--quiet"]


def timing(folder: Path, split: FaceSplit, home: Path, repeats: int, sets: int) -> None:
    """Print the seconds of both commands, first and further prompt sets."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "KE2NT_CACHE": str(home / "cache")}
    classes = split.classes
    for i in range(sets):
        words = prompt_set(f"set{i}", TEMPLATES[i : i + 1], classes)
        (home / f"set{i}.yaml").write_text(json.dumps(words.model_dump(mode="json")))
        web_dataset(split, words, home / f"wds{i}")
    theirs = [_peer_command(home, i, folder) for i in range(sets)]
    ours = [_own_command(home, i, folder) for i in range(sets)]
    first, peers = [], []
    for repeat in range(repeats):
        environment["KE2NT_CACHE"] = str(home / f"cache-{repeat}")
        own, accuracy = timed(ours[0], environment, "ke2nt")
        other, same = timed(theirs[0], environment, "clip_benchmark")
        first.append(own)
        peers.append(other)
        print(f"first evaluation: ke2nt {own:.1f} s, clip_benchmark {other:.1f} s "
              f"(accuracy {accuracy:.4f} and {same:.4f})")  # fmt: skip
    further = [timed(command, environment, "ke2nt")[0] for command in ours[1:]]
    again = [timed(command, environment, "clip_benchmark")[0] for command in theirs[1:2]]
    base = float(np.median([*peers, *again]))
    command = float(np.median(further))
    print(f"a further set, each a new process: ke2nt {command:.2f} s, clip_benchmark "
          f"{again[0]:.1f} s: {base / command:.0f} times")  # fmt: skip

    os.environ["KE2NT_CACHE"] = environment["KE2NT_CACHE"]
    encoder = get_image_encoder(f"open_clip:{folder}")
    held = encoder.load(torch.device("cpu"))
    data = get_reader("folder", home / "faces").load("test")
    seconds = []
    for template in TEMPLATES[sets:]:
        words = prompt_set("further", (template,), classes)
        start = time.perf_counter()
        zero_shot(encoder, words, data)
        seconds.append(time.perf_counter() - start)
    del held
    inside = float(np.median(seconds))
    print(f"a further set in one session, text embedding and intervals included: "
          f"{1000 * inside:.0f} ms: {base / inside:.0f} times")  # fmt: skip


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--images", type=int, default=3199)
    parser.add_argument("--side", type=int, default=48, help="of the images on disk, in pixels")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--agreement-images", type=int, default=512)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        model = arguments.model and arguments.model.resolve()
        folder = model or random_model(arguments.architecture, home / "model")
        print(f"{arguments.model or arguments.architecture}: {arguments.images} images of "
              f"{arguments.side} px")  # fmt: skip
        faces_on_disk(arguments.images, arguments.side, home / "faces")
        split = get_reader("folder", home / "faces").load("test")
        words = prompt_set("six", TEMPLATES, split.classes)
        part = split.subset(range(0, len(split), max(1, len(split) // arguments.agreement_images)))
        agreement(folder, part, words, home / "agreement")
        timing(folder, split, home, arguments.repeats, sets=3)


if __name__ == "__main__":
    main()
