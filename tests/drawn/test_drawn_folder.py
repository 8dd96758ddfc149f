"""Faces written as files: round trip, summary, and folders that appear whole or not at all."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from ke2nt.datasets.catalog import get_reader
from ke2nt.drawn import folder as folder_module
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.drawn.folder import write_folder
from ke2nt.errors import DataError
from ke2nt.labels import CANONICAL


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "faces"
    styles = ("photo", "sketch")
    summary = write_folder(out, count=48, seed=2, size=32, styles=styles, masks=True, quiet=True)
    return out, summary, DrawnFaces(48, seed=2, size=32, styles=styles)


def rows(out):
    with (out / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_files_hold_the_drawn_faces(written):
    out, _, faces = written
    table = {row["path"]: row for row in rows(out)}

    assert len(table) == 48
    assert {str(p.relative_to(out)) for p in out.rglob("*.png")} == set(table)

    # Image, manifest row and masks of every face
    for index in range(48):
        face = faces.render_sample(index, masks=True)
        split = faces.split_of(faces.identity_of(index))
        row = table[f"{split}/{face.expression}/{face.name}.png"]
        assert np.array_equal(np.asarray(Image.open(out / row["path"])), face.image)
        assert (row["label"], row["split"], row["subject"]) == (
            face.expression,
            split,
            face.subject,
        )
        assert {k[5:]: v for k, v in row.items() if k.startswith("attr:")} == face.attributes
        regions = np.load(out / "masks" / row["path"].replace(".png", ".npz"))["masks"]
        assert np.array_equal(regions, face.masks)


def test_summary_is_plain_json_and_counts_the_files(written):
    out, summary, _ = written
    assert json.loads(json.dumps(summary)) == summary
    assert json.loads((out / "synthetic.json").read_text()) == {
        key: value for key, value in summary.items() if key != "out"
    }
    for split, facts in summary["splits"].items():
        assert facts["faces"] == len(list((out / split).rglob("*.png")))
        assert facts["faces"] == sum(facts["classes"].values())
    assert sum(facts["identities"] for facts in summary["splits"].values()) == 6


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_manifest_reader_reads_the_folder(written, split):
    out, summary, faces = written
    loaded = get_reader("manifest", out / "manifest.csv").load(split)

    assert len(loaded) == summary["splits"][split]["faces"]

    drawn = faces.to_split(split)
    assert [loaded.classes[s.label] for s in loaded.samples] == [
        CANONICAL[s.label] for s in drawn.samples
    ]
    assert [s.subject for s in loaded.samples] == [s.subject for s in drawn.samples]
    assert loaded.samples[0].attributes["intensity"] == drawn.samples[0].attributes["intensity"]


def test_folder_in_use_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match="in use"):
        write_folder(tmp_path, count=24, size=16, quiet=True)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("keep")
    with pytest.raises(DataError, match="in use"):
        write_folder(tmp_path / "out", count=24, size=16, quiet=True)


@pytest.mark.parametrize("options", [{"count": 8}, {"count": 24, "styles": ("oil",)}])
def test_bad_values_leave_nothing_behind(tmp_path, options):
    with pytest.raises(DataError):
        write_folder(tmp_path / "out", size=16, quiet=True, **options)
    assert not list(tmp_path.iterdir())


def test_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(path, value):
        raise KeyboardInterrupt

    monkeypatch.setattr(folder_module, "write_json", fail)
    with pytest.raises(KeyboardInterrupt):
        write_folder(tmp_path / "out", count=24, size=16, quiet=True)
    assert not list(tmp_path.iterdir())


def test_progress_stays_off_stdout(tmp_path, capsys):
    write_folder(tmp_path / "out", count=24, size=16)
    assert capsys.readouterr().out == ""
