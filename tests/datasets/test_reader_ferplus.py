from __future__ import annotations

import contextlib
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reader_trees import VOTE_COLUMNS, write_ferplus, write_image, write_text

from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.ferplus import RULES, FERPlus, label_from_votes
from ke2nt.errors import DataError, Ke2ntError, LayoutError

SIZES = {
    "majority": (25_060, 3_199, 3_153),
    "plurality10": (28_389, 3_553, 3_546),
    "plurality8": (28_559, 3_579, 3_573),
}
ROWS = [
    "Training,a.png,9,0,0,0,0,0,1,0,0,0",  # neutral under every rule
    "Training,b.png,4,0,0,4,0,0,0,0,2,0",  # a tie: no majority, plurality takes the earlier
    "Training,c.png,0,2,0,0,0,0,0,0,8,0",  # unknown wins over all ten
    "Training,,0,0,0,0,0,0,0,0,0,10",  # an image that was removed
    "Training,d.png,0,0,0,0,0,0,0,0,2,8",  # no face
    "PublicTest,e.png,0,0,0,0,1,1,0,5,3,0",  # contempt: 5 of 8 votes after the ones are dropped
    "PrivateTest,f.png,0,3,0,0,0,0,0,0,0,3",
]


@pytest.fixture
def root(tmp_path):
    return write_ferplus(tmp_path / "ferplus", ROWS)


def labels(reader, split):
    return {s.name.split("/")[1]: reader.classes[s.label] for s in reader.load(split).samples}


def test_rules_keep_and_label(root):
    majority, ten, eight = (FERPlus(root, rule=rule) for rule in RULES)
    assert labels(majority, "train") == {"a.png": "neutral"}
    assert labels(ten, "train") == {"a.png": "neutral", "b.png": "neutral"}
    assert labels(eight, "train") == {"a.png": "neutral", "b.png": "neutral", "c.png": "happiness"}
    assert labels(majority, "val") == labels(eight, "val") == {"e.png": "contempt"}
    assert len(majority.index("test")) == 0
    assert labels(ten, "test") == {"f.png": "happiness"}


def test_distribution_drops_single_votes_under_majority_only(root):
    shares = FERPlus(root, rule="majority").load("val").samples[0].distribution
    assert shares == (0, 0, 0, 0, 0, 0, 0, 1)
    shares = FERPlus(root, rule="plurality8").load("val").samples[0].distribution
    assert shares == pytest.approx((0, 0, 0, 0, 1 / 7, 1 / 7, 0, 5 / 7))
    assert FERPlus(root).load("train").distributions().sum(axis=1) == pytest.approx(1)


@given(st.lists(st.integers(0, 10), min_size=10, max_size=10))
def test_rules_against_a_slow_oracle(votes):
    """Each rule restated as a search over candidates."""
    kept = [v if v > 1 else 0 for v in votes]
    winners = [i for i in range(8) if kept[i] / max(sum(kept), 1) > 0.5]
    verdict = label_from_votes(votes, "majority")

    assert (None if verdict is None else [verdict[0]]) == (winners or None)

    for rule, columns in (("plurality10", 10), ("plurality8", 8)):
        best = max(range(columns), key=lambda i: (votes[i], -i))
        expected = best if best < 8 and votes[best] > 0 else None
        verdict = label_from_votes(votes, rule)
        assert (None if verdict is None else verdict[0]) == expected
        if verdict is not None:
            assert np.allclose(verdict[1], np.array(votes[:8]) / sum(votes[:8]))


def test_rows_of_the_same_image_stay_apart(tmp_path):
    root = write_ferplus(tmp_path, [ROWS[0], ROWS[0], ROWS[0]])
    names = [sample.name for sample in FERPlus(root).load("train").samples]
    assert names == [f"FER2013Train/a.png{suffix}" for suffix in ("", "#2", "#3")]


def test_byte_order_mark_windows_line_ends_and_blank_lines(root):
    path = root / "fer2013new.csv"
    expected = FERPlus(root).index("train")
    content = path.read_text().replace("\n", "\r\n").replace("Training", " Training", 1)
    path.write_bytes(b"\xef\xbb\xbf" + content.encode() + b"\r\n\r\n")
    assert FERPlus(root).index("train") == expected


def test_split_without_its_images(root):
    (root / "FER2013Valid" / "e.png").unlink()
    reader = FERPlus(root)

    assert len(reader.index("val")) == 1
    with pytest.raises(LayoutError, match=r"FER2013Valid/e\.png"):
        reader.load("val")
    with pytest.raises(DataError, match="no sample"):
        reader.load("test")
    with pytest.raises(DataError, match=r"no split 'valid'.*Did you mean 'val'"):
        reader.load("valid")


def test_single_missing_image_does_not_stop_a_split(tmp_path):
    root = write_ferplus(tmp_path, [ROWS[0], ROWS[0].replace("a.png", "z.png")])
    (root / "FER2013Train" / "z.png").unlink()
    assert len(FERPlus(root).load("train")) == 2


def test_layout_error_shows_expected_and_found(root, tmp_path):
    with pytest.raises(LayoutError) as caught:
        FERPlus(root / "FER2013Train")
    assert "fer2013new.csv | FER2013Train" in str(caught.value)
    assert "a.png, b.png" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(LayoutError, match=rf"one folder down: {root}"):
        FERPlus(root.parent)
    with pytest.raises(LayoutError, match="no such folder"):
        FERPlus(tmp_path / "absent")
    with pytest.raises(LayoutError, match="found a file"):
        FERPlus(root / "fer2013new.csv")

    (tmp_path / "void").mkdir()
    with pytest.raises(LayoutError, match="an empty folder"):
        FERPlus(tmp_path / "void")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Training,x.png,9,0,0,0,0,0,1,0,0", "line 3.*expected 12; found 11"),
        ("Training,x.png,9,0,0,0,0,0,1,0,0,half", "line 3, column NF.*'half'"),
        ("Training,x.png,9,0,0,0,-1,0,1,0,0,0", "line 3, column anger.*'-1'"),
        ("Training,x.png,9,0,0,0,1.5,0,1,0,0,0", "line 3, column anger.*'1.5'"),
        ("Train,x.png,9,0,0,0,0,0,1,0,0,0", "line 3.*Training, PublicTest.*'Train'"),
        ('Training,"x.png,9,0,0,0,0,0,1,0,0,0', "damaged.*line"),
    ],
)
def test_damaged_rows_name_their_line(root, row, reason):
    write_text(root / "fer2013new.csv", f"Usage,Image name,{VOTE_COLUMNS}\n{ROWS[0]}\n{row}\n")
    with pytest.raises(DataError, match=reason):
        FERPlus(root).index("train")


def test_missing_column_error_suggests_the_nearest_name(root):
    write_text(root / "fer2013new.csv", f"Usage,Image nam,{VOTE_COLUMNS}\n")
    with pytest.raises(DataError, match=r"'Image name' is missing.*Did you mean 'Image nam'"):
        FERPlus(root).index("train")


def test_unknown_rule_and_option(root):
    with pytest.raises(DataError, match="Did you mean 'majority'"):
        get_reader("ferplus", root, rule="majorty")
    with pytest.raises(DataError, match=r"no option 'ruel'.*Did you mean 'rule'"):
        get_reader("ferplus", root, ruel="majority")
    with pytest.raises(DataError, match="Did you mean 'ferplus'"):
        get_reader("fer+plus", root)
    with pytest.raises(DataError, match="needs a root folder"):
        get_reader("ferplus")


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.lists(st.sampled_from(["Training", "a.png", "3", "", '"', "/x", "\n", "é", ","])),
            max_size=6,
        ).map(lambda rows: "\n".join(",".join(row) for row in rows).encode()),
    ),
    st.booleans(),
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_fuzzed_votes_raise_only_ke2nt_errors(root, content, headed):
    header = f"Usage,Image name,{VOTE_COLUMNS}\n".encode() if headed else b""
    (root / "fer2013new.csv").write_bytes(header + content)
    with contextlib.suppress(Ke2ntError):
        FERPlus(root).index("train")


@pytest.mark.shared_data
@pytest.mark.skipif(
    not os.environ.get("KE2NT_TEST_FERPLUS"), reason="KE2NT_TEST_FERPLUS names no folder"
)
@pytest.mark.parametrize("rule", RULES)
def test_official_sizes(rule):
    reader = FERPlus(os.environ["KE2NT_TEST_FERPLUS"], rule=rule)
    assert tuple(len(reader.index(split)) for split in reader.splits) == SIZES[rule]


def test_class_folders_in_the_official_folders(tmp_path):
    for name in (*FERPlus.classes, "NF", "unknown"):
        for folder in ("FER2013Train", "FER2013Valid", "FER2013Test"):
            write_image(tmp_path / folder / name / "a.png")
    reader = FERPlus(tmp_path)
    assert reader.splits == ("train", "val", "test")
    assert sorted(reader.load("val").labels().tolist()) == list(range(8))
