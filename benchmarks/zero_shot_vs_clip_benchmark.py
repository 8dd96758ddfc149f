"""`ke2nt zero-shot` compared with the independent package clip-benchmark: agreement and time.

    pip install clip-benchmark webdataset pycocoevalcap requests 'numpy<2.4'
    python benchmarks/zero_shot_vs_clip_benchmark.py [--model OPEN_CLIP_FOLDER] [--images N]

Both read the same drawn faces with the same checkpoint, float32, batches of 64, two threads.
Agreement is checked in one process, on unrounded numbers. Times are those of the two commands as a
user types them, from start to printed metrics; they take turns. Without `--model` it creates
open_clip's architecture ViT-B-32 with random weights: the arithmetic is the same.
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
from PIL import Image
from zero_shot_speed import create_random_model, write_faces

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
# no article before the word, because the peer does not choose between a and an
TEMPLATES = (
    "a photo of the {class} face.",
    "a picture of somebody who looks {class}.",
    "this person is {class}.",
    "a portrait; the expression is {class}.",
    "somebody feeling {class}.",
    "the face looks {class}.",
)


def build_prompt_set(name: str, templates: tuple[str, ...], classes: tuple[str, ...]) -> PromptSet:
    """Build a prompt set with one adjective for each class."""
    words = {c: [WORDS[c]] for c in classes}
    return PromptSet(name=name, templates=list(templates), classes=words, anchor="neutral")


def convert_templates(prompts: PromptSet) -> list[str]:
    """Convert the templates to those of the peer."""
    return [template.replace("{class}", "{c}") for template in prompts.templates]


def write_web_dataset(split: FaceSplit, prompts: PromptSet, root: Path) -> None:
    """Write a split as the peer reads it: two tar files, class names, templates."""
    (root / "test").mkdir(parents=True, exist_ok=True)
    label = root / "label.cls"
    for shard in range(2):
        with tarfile.open(root / "test" / f"{shard}.tar", "w") as tar:
            for i in range(shard, len(split), 2):
                sample = split.samples[i]
                label.write_text(str(sample.label))
                tar.add(str(sample.source), f"{i:06d}.png")
                tar.add(label, f"{i:06d}.cls")

    (root / "test" / "nshards.txt").write_text("2")
    (root / "classnames.txt").write_text("\n".join(WORDS[c] for c in split.classes))
    templates = "\n".join(convert_templates(prompts))
    (root / "zeroshot_classification_templates.txt").write_text(templates)


class PeerFaces(torch.utils.data.Dataset[Any]):
    """A split as the peer's dataset."""

    def __init__(self, split: FaceSplit, transform: Any) -> None:
        self.classes = tuple(WORDS[c] for c in split.classes)
        self.split, self.transform = split, transform

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        sample = self.split.samples[i]
        return self.transform(Image.open(str(sample.source))), sample.label


def run_peer(
    folder: Path, split: FaceSplit, prompts: PromptSet
) -> tuple[np.ndarray, np.ndarray, dict[str, float]]:
    """Run the peer: its logits, labels and metrics."""
    from clip_benchmark.metrics import zeroshot_classification as peer

    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    faces = PeerFaces(split, transform)
    loader = torch.utils.data.DataLoader(faces, batch_size=64)
    templates = convert_templates(prompts)

    # the peer shows progress bars
    with open(os.devnull, "w") as bars, contextlib.redirect_stderr(bars):
        classifier = peer.zero_shot_classifier(
            model.eval(), tokenizer, faces.classes, templates, "cpu", amp=False
        )
        logits, labels = peer.run_classification(model, classifier, loader, "cpu", amp=False)
        metrics = peer.evaluate(
            model, loader, tokenizer, faces.classes, templates, "cpu", amp=False
        )
    return logits.numpy(), labels.numpy(), metrics


def check_agreement(folder: Path, split: FaceSplit, prompts: PromptSet, scratch: Path) -> None:
    """Print how much logits, predictions and metrics differ."""
    spec = f"open_clip:{folder}"
    ours = zero_shot(spec, prompts, split, cache_dir=scratch, precision="fp32", bootstrap=0)
    our_logits = class_logits(ours.images, ours.bank) * (100.0 / ours.images.logit_scale)
    logits, labels, metrics = run_peer(folder, split, prompts)
    assert np.array_equal(labels, ours.images.labels)

    same = our_logits.argmax(axis=1) == logits.argmax(axis=1)
    report = ours.evaluation.report
    print(f"largest difference of a logit at scale 100: {np.abs(our_logits - logits).max():.2g}")
    print(f"equal predictions: {same.sum()} of {len(same)}")
    print(
        f"accuracy {report.accuracy:.6f} and {metrics['acc1']:.6f}, "
        f"mean class recall {report.uar:.6f} and {metrics['mean_per_class_recall']:.6f}"
    )


def time_command(command: list[str], environment: dict[str, str], name: str) -> tuple[float, float]:
    """Return the seconds of a command and the accuracy that it reports; print processor time."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)

    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"  {name}: {seconds:.1f} s, {processor:.1f} s of processor time", flush=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-2000:]}")

    # the peer writes a file, ke2nt prints
    if "--output" in command:
        value = json.loads(Path(command[command.index("--output") + 1]).read_text())
        return seconds, value["metrics"]["acc1"]
    return seconds, json.loads(done.stdout)["accuracy"]


def _build_command(scratch: Path, i: int, folder: Path) -> list[str]:
    options = {
        "--encoder": f"open_clip:{folder}",
        "--prompts": scratch / f"set{i}.yaml",
        "--dataset": "folder",
        "--root": scratch / "faces",
        "--split": "test",
        "--device": "cpu",
    }
    pairs = [str(part) for pair in options.items() for part in pair]
    return [sys.executable, "-m", "ke2nt", "zero-shot", *pairs, "--json"]


def _build_peer_command(scratch: Path, i: int, folder: Path) -> list[str]:
    options = {
        "--dataset": "wds/faces",
        "--dataset_root": scratch / f"wds{i}",
        "--model": f"local-dir:{folder}",
        "--pretrained": "",
        "--task": "zeroshot_classification",
        "--num_workers": 2,
        "--batch_size": 64,
        "--output": scratch / f"peer{i}.json",
    }
    pairs = [str(part) for pair in options.items() for part in pair]
    command = [sys.executable, "-m", "clip_benchmark.cli", "eval", *pairs]
    return [*command, "--no_amp", "--quiet"]


def time_commands(folder: Path, split: FaceSplit, scratch: Path, repeats: int, sets: int) -> float:
    """Print the seconds of both commands, for first and further prompt sets.

    Returns:
        Seconds of one evaluation by the peer.
    """
    for i in range(sets):
        prompts = build_prompt_set(f"set{i}", TEMPLATES[i : i + 1], split.classes)
        (scratch / f"set{i}.yaml").write_text(json.dumps(prompts.model_dump(mode="json")))
        write_web_dataset(split, prompts, scratch / f"wds{i}")
    our_commands = [_build_command(scratch, i, folder) for i in range(sets)]
    peer_commands = [_build_peer_command(scratch, i, folder) for i in range(sets)]

    # the first evaluation, in turns, each with an empty cache
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    peer_seconds = []
    for repeat in range(repeats):
        environment["KE2NT_CACHE"] = str(scratch / f"cache-{repeat}")
        ours, accuracy = time_command(our_commands[0], environment, "ke2nt")
        theirs, peer_accuracy = time_command(peer_commands[0], environment, "clip_benchmark")
        peer_seconds.append(theirs)
        print(
            f"first evaluation: ke2nt {ours:.1f} s, clip_benchmark {theirs:.1f} s "
            f"(accuracy {accuracy:.4f} and {peer_accuracy:.4f})"
        )

    # further sets, with the images in the cache
    further = [time_command(command, environment, "ke2nt")[0] for command in our_commands[1:]]
    peer_further, _ = time_command(peer_commands[1], environment, "clip_benchmark")
    peer_median = float(np.median([*peer_seconds, peer_further]))
    median = float(np.median(further))
    print(
        f"a further set, each a new process: ke2nt {median:.2f} s, clip_benchmark "
        f"{peer_further:.1f} s: {peer_median / median:.0f} times"
    )
    os.environ["KE2NT_CACHE"] = environment["KE2NT_CACHE"]
    return peer_median


def time_session(folder: Path, scratch: Path, sets: int, peer_seconds: float) -> None:
    """Print the seconds of further prompt sets in one process."""
    encoder = get_image_encoder(f"open_clip:{folder}")
    tower = encoder.load(torch.device("cpu"))  # held, so that it is not loaded again
    data = get_reader("folder", scratch / "faces").load("test")

    seconds = []
    for template in TEMPLATES[sets:]:
        prompts = build_prompt_set("further", (template,), data.classes)
        start = time.perf_counter()
        zero_shot(encoder, prompts, data)
        seconds.append(time.perf_counter() - start)
    del tower

    median = float(np.median(seconds))
    print(
        f"a further set in one session, text embedding and intervals included: "
        f"{1000 * median:.0f} ms: {peer_seconds / median:.0f} times"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--images", type=int, default=3199)
    parser.add_argument("--side", type=int, default=48, help="of the images on disk, in pixels")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--agreement-images", type=int, default=512)
    args = parser.parse_args()
    torch.set_num_threads(2)

    with tempfile.TemporaryDirectory() as temporary_folder:
        scratch = Path(temporary_folder)
        folder = args.model and args.model.resolve()
        folder = folder or create_random_model(args.architecture, scratch / "model")
        print(f"{args.model or args.architecture}: {args.images} images of {args.side} px")
        write_faces(args.images, args.side, scratch / "faces")
        split = get_reader("folder", scratch / "faces").load("test")

        # agreement on evenly spaced images
        prompts = build_prompt_set("six", TEMPLATES, split.classes)
        step = max(1, len(split) // args.agreement_images)
        part = split.subset(range(0, len(split), step))
        check_agreement(folder, part, prompts, scratch / "agreement")

        peer_seconds = time_commands(folder, split, scratch, args.repeats, sets=3)
        time_session(folder, scratch, sets=3, peer_seconds=peer_seconds)


if __name__ == "__main__":
    main()
