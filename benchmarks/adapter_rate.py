"""Learning rates of `ke2nt-adapter`, compared on held-out faces of the training usage.

    python benchmarks/adapter_rate.py OUT/seed1 [--share 0.15] [--shots 4 16] [--draws 1 2 3]

OUT/seed1 is a folder of `clip_use.py`: an image-text model, and FER+ without the faces that it was
trained on. A share of the remaining training usage is held out; the shots and the images that
choose the ratio come from the rest. The validation usage takes no part. Prints a table of UAR: mean
± standard deviation over the draws.
"""

from __future__ import annotations

import argparse
from itertools import product
from pathlib import Path

from markdown_tables import format_mean, format_table

from ke2nt.banks.text_bank import TextBank
from ke2nt.data.splits import carve_validation
from ke2nt.datasets.catalog import load_dataset
from ke2nt.evaluation.embed_split import embed_split
from ke2nt.evaluation.image_encoders import get_image_encoder
from ke2nt.fewshot.draws import Pools
from ke2nt.fewshot.features import embed_draws, to_features
from ke2nt.fewshot.method import FewShotTask
from ke2nt.fewshot.residual_adapters import fit_ke2nt_adapter
from ke2nt.fewshot.selection import score_validation

RATES = (3e-4, 1e-3, 3e-3)
NEUTRAL_RATES = (1e-3, 1e-2)


def main() -> None:
    """Compare the rates, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of a seed of clip_use.py")
    parser.add_argument("--share", type=float, default=0.15, help="held out to judge on")
    parser.add_argument("--shots", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--draws", type=int, nargs="+", default=[1, 2, 3])
    arguments = parser.parse_args()

    # judged on one part, learned and tuned on the other
    faces = load_dataset("ferplus", arguments.folder / "ferplus", "train", rule="majority")
    rest, judged = carve_validation(faces, arguments.share, 0)
    train, tuning = carve_validation(rest, 0.1, 0)
    encoder = get_image_encoder(f"open_clip:{arguments.folder / 'open_clip'}")
    bank = TextBank.build("simple", encoder=encoder.text_encoder, classes=faces.classes)
    drawn = embed_draws(encoder, Pools(train, tuning, ""), arguments.shots, arguments.draws, {})
    images = to_features(embed_split(encoder, judged))
    scale = encoder.logit_scale

    rows = []
    for rate, neutral_rate in product(RATES, NEUTRAL_RATES):
        found: dict[object, list[float]] = {}
        for draw, (shots, tuned_on) in zip(drawn.draws, drawn.features, strict=True):
            task = FewShotTask(shots, tuned_on, bank, scale, draw.shots, draw.seed)
            fitted = fit_ke2nt_adapter(task, rate=rate, neutral_rate=neutral_rate)
            logits = fitted.logits(images.embeddings, scale)
            found.setdefault(draw.shots, []).append(score_validation(logits, images.labels).uar)
        means = [format_mean(found[shots], digits=1) for shots in found]
        rows.append([f"{rate:g}", f"{neutral_rate:g}", *means])
        print(*rows[-1], flush=True)

    columns = [f"UAR %, {shots} shots" for shots in arguments.shots]
    print(f"{len(judged)} faces of the training usage")
    print(format_table(["rate", "neutral rate", *columns], rows))


if __name__ == "__main__":
    main()
