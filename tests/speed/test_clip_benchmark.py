"""The benchmark of the commands for CLIP: its words that training never met, its parts of FER+."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import numpy as np
import pytest

from ke2nt.datasets.catalog import get_reader

PLACE = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import a script of benchmarks/ by name."""
    monkeypatch.syspath_prepend(str(PLACE))
    return importlib.import_module


def words(prompts):
    return {word for words in prompts.classes.values() for word in words}


def test_no_sentence_of_training_has_an_unmet_word(script):
    captions = script("ferplus_captions")
    texts = [caption.text for caption in captions.all_captions()]
    used = set(re.findall(r"\w+", " ".join(texts)))
    assert words(captions.PROMPTS["met"]) <= used
    assert not words(captions.PROMPTS["unmet"]) & used

    # nor one of its sentences
    unmet = captions.PROMPTS["unmet"]
    assert not {text for name in unmet.classes for text in unmet.render(name)} & set(texts)
    assert len(set(texts)) == len(texts)


def test_sentences_are_drawn_from_the_votes(script):
    captions = script("ferplus_captions")
    every = captions.all_captions()
    chooser, rng = captions.CaptionChooser(every), np.random.default_rng(0)
    votes = np.array([0.1, 0.7, 0.2, 0, 0, 0, 0, 0])
    drawn = [every[chooser.choose(votes, rng)] for _ in range(1000)]

    shares = [sum(each.first == label for each in drawn) / 1000 for label in range(8)]
    np.testing.assert_allclose(shares, votes, atol=0.04)
    # a second expression of 15 % of the votes or more, the larger one of two
    seconds = {(each.first, each.second) for each in drawn}
    assert seconds == {(0, None), (1, None), (2, None), (0, 1), (1, 2), (2, 1)}
    assert "a photo of a mostly happy, slightly surprised person." in {each.text for each in drawn}
    assert 0.2 < sum(each.describes for each in drawn) / 1000 < 0.3


def test_parts_of_ferplus_hold_the_named_images(script, tmp_path):
    parts, root = script("ferplus_parts"), tmp_path / "all"
    names = ["Usage,Image name", "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt"]
    rows = [f"Training,fer{k}.png,{8 - k},{k},0,0,0,0,0,0,2,0" for k in (0, 1, 8)]
    rows += ["PublicTest,fer9.png,8,0,0,0,0,0,0,0,2,0"]
    root.mkdir()
    (root / "fer2013new.csv").write_text("\n".join([",".join([*names, "unknown,NF"]), *rows]))
    for name in ("FER2013Train", "FER2013Valid"):
        (root / name).mkdir()

    def index(folder, split):
        samples = get_reader("ferplus", folder).index(split).samples
        return [Path(each.name).name for each in samples]

    parts.write_without(root, {"fer1.png"}, tmp_path / "rest")
    assert index(tmp_path / "rest", "train") == ["fer0.png", "fer8.png"]
    assert index(tmp_path / "rest", "val") == ["fer9.png"]

    parts.write_training_part(root, ["FER2013Train/fer8.png"], ["fer0.png"], tmp_path / "part")
    assert index(tmp_path / "part", "train") == ["fer8.png"]
    assert index(tmp_path / "part", "val") == ["fer0.png"]
    assert (tmp_path / "part" / "FER2013Valid").resolve() == root / "FER2013Train"


def test_table_has_a_column_for_each_place_and_metric(script):
    table = script("clip_use").format_part(
        {
            ("probe", "1", "uar"): [0.5, 0.7],
            ("zero", "0", "uar"): [0.25],
            ("probe", "0", "uar"): [0.1],
        }
    )
    assert table.splitlines() == [
        "|  | 1: uar % | 0: uar % |",
        "|---|---|---|",
        "| probe | 60.0 ± 14.1 | 10.0 |",
        "| zero | – | 25.0 |",
    ]
