"""The forms in which people have datasets: read rightly, or refused with what would read them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from reader_trees import VOTE_COLUMNS, write_image, write_text

from ke2nt.data.splits import carve_validation
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.check import check_dataset
from ke2nt.datasets.forms import check_arguments, find_forms
from ke2nt.errors import DataError, Ke2ntError, LayoutError
from ke2nt.labels import DATASET_LABELS

FER = DATASET_LABELS["fer2013"]
AFFECTNET = DATASET_LABELS["affectnet8"]
PIXELS = " ".join(map(str, np.arange(16)))


def class_folders(root, names, splits=("train", "test"), file="0.png"):
    for split in splits:
        for seed, name in enumerate(names):
            write_image(root / split / str(name) / file, seed, 8)


def rafdb_kaggle(root):
    for split, number in (("train", "train_{:05d}"), ("test", "test_{:04d}")):
        rows = ["image,label"]
        for label in range(1, 8):
            name = number.format(label) + "_aligned.jpg"
            write_image(root / "DATASET" / split / str(label) / name, label, 8)
            rows.append(f"{name},{label}")
        write_text(root / f"{split}_labels.csv", "\n".join(rows))


def rafdb_list(root, line="{}.jpg {}", name="list_patition_label.txt", suffix="_aligned.jpg"):
    rows = []
    for split in ("train_00001", "test_0001"):
        for label in range(1, 8):
            stem = f"{split[:-1]}{label}"
            write_image(root / "Image" / "aligned" / f"{stem}{suffix}", label, 8)
            rows.append(line.format(stem, label, label - 1))
    write_text(root / "EmoLabel" / name, "\n".join(rows))


def rafdb_split_lists(root, folder="", first=1):
    for split in ("train", "test"):
        rows = []
        for label in range(7):
            write_image(root / "images" / split / f"{label}.jpg", label, 8)
            rows.append(f"images/{split}/{label}.jpg {label + first}")
        write_text(root / folder / f"{split}_list.txt", "\n".join(rows))


def fer2013_table(root, name="fer2013.csv", header="emotion,pixels,Usage", first=0):
    columns = [column.strip() for column in header.split(",")]
    rows = [header]
    for usage in ("Training", "PublicTest", "PrivateTest"):
        for label in range(len(FER) + first):
            cells = {"emotion": str(label), "pixels": f'"{PIXELS}"', "Usage": usage}
            rows.append(",".join(cells[column] for column in columns))
    write_text(root / name, "\n".join(rows))


def fer2013_challenge(root):
    rows = ["emotion,pixels", *(f'{label},"{PIXELS}"' for label in range(7))]
    write_text(root / "train.csv", "\n".join(rows))
    write_text(root / "test.csv", f'pixels\n"{PIXELS}"\n')


def vote_rows():
    """One vote row for each class and split: (usage, image, cells)."""
    for usage in ("Training", "PublicTest", "PrivateTest"):
        for label in range(8):
            yield (
                usage,
                f"fer{usage}{label}.png",
                ",".join("9" if i == label else "0" for i in range(10)),
            )


FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}


def ferplus_votes(root, images="", csv="images"):
    rows, tables, pixels = [f"Usage,Image name,{VOTE_COLUMNS}"], {}, ["emotion,pixels,Usage"]
    for usage, image, votes in vote_rows():
        rows.append(f"{usage},{image},{votes}")
        tables.setdefault(usage, []).append(f'{image},"(0, 0, 48, 48)",{votes}')
        pixels.append(f"0,{PIXELS},{usage}")
        if csv != "pixels":
            write_image(root / images / FOLDERS[usage] / image, size=8)
    if csv == "labels":
        for usage, lines in tables.items():
            write_text(root / FOLDERS[usage] / "label.csv", "\n".join(lines))
    else:
        write_text(root / "fer2013new.csv", "\n".join(rows))
    if csv == "pixels":
        write_text(root / "fer2013.csv", "\n".join(pixels))


def affectnet_table(root, wrong=""):
    rows = [",pth,label,relFCs"]
    for seed, name in enumerate(AFFECTNET):
        write_image(root / name / "0.png", seed, 8)
        rows.append(f"{seed},{name}/0.png,{wrong or name},0.8")
    write_text(root / "labels.csv", "\n".join(rows))


def affectnet_lists(root):
    header = (
        "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,"
        "valence,arousal"
    )
    for name, lines in (("training.csv", [header]), ("validation.csv", [])):
        for code in range(8):
            write_image(root / "Manually_Annotated_Images" / "1" / f"{name}{code}.jpg", code, 8)
            lines.append(f"1/{name}{code}.jpg,1,1,8,8,1;2,{code},0.1,0.2")
        write_text(root / name, "\n".join(lines))


def yolo(root, names="Anger Contempt Disgust Fear Happy Neutral Sad Surprise"):
    names = names.split()
    for split in ("train", "valid"):
        for number in range(len(names)):
            write_image(root / "YOLO_format" / split / "images" / f"{number}.png", number, 8)
            labels = root / "YOLO_format" / split / "labels" / f"{number}.txt"
            write_text(labels, f"{number} 0.5 0.5 1 1\n")
    write_text(root / "YOLO_format" / "data.yaml", f"nc: {len(names)}\nnames: {names}\n")


def ck48(root):
    for number, name in enumerate(n for n in DATASET_LABELS["ckplus"] if n != "neutral"):
        for frame in (1, 2):
            for subject in (number, number + 10):
                file = f"S{subject:03d}_001_{frame:08d}.png"
                write_image(root / "CK+48" / name / file, subject, 8)


# Form → how it is made, its readers, and the samples of each class of a split
READ = {
    "rafdb_kaggle": (rafdb_kaggle, ("rafdb",), 1),
    "rafdb_words": (lambda r: class_folders(r, ("Surprise", *FER[:5], "6 neutral")), ("rafdb",), 1),
    "rafdb_list": (rafdb_list, ("rafdb",), 1),
    "rafdb_spelling": (lambda r: rafdb_list(r, name="list_partition_label.txt"), ("rafdb",), 1),
    "rafdb_aligned": (lambda r: rafdb_list(r, "{}_aligned.jpg {}"), ("rafdb",), 1),
    "rafdb_no_suffix": (lambda r: rafdb_list(r, "{} {}"), ("rafdb",), 1),
    "rafdb_short_names": (lambda r: rafdb_list(r, suffix=".jpg"), ("rafdb",), 1),
    "fer2013": (fer2013_table, ("fer2013",), 1),
    "icml": (
        lambda r: fer2013_table(r, "icml_face_data.csv", "emotion, Usage, pixels"),
        ("fer2013",),
        1,
    ),
    "challenge": (fer2013_challenge, ("fer2013",), 1),
    "fer2013_numbers": (lambda r: class_folders(r, range(7)), ("fer2013", "affectnet7"), 1),
    "fer2013_words": (
        lambda r: class_folders(r, [f"{i}_{name}" for i, name in enumerate(FER)]),
        ("fer2013", "folder"),
        1,
    ),
    "ferplus_subfolder": (lambda r: ferplus_votes(r, "images"), ("ferplus",), 1),
    "ferplus_labels": (lambda r: ferplus_votes(r, csv="labels"), ("ferplus",), 1),
    "ferplus_pixels": (lambda r: ferplus_votes(r, csv="pixels"), ("ferplus",), 1),
    "ferplus_folders": (
        lambda r: class_folders(r, ["suprise", *(n for n in AFFECTNET if n != "surprise")]),
        ("ferplus",),
        1,
    ),
    "affectnet_lists": (affectnet_lists, ("affectnet8",), 1),
    "affectnet_numbers": (lambda r: class_folders(r, range(8)), ("affectnet7", "affectnet8"), 1),
    "affectnet_no_class": (lambda r: class_folders(r, range(11)), ("affectnet8",), 1),
    "affectnet_table": (affectnet_table, ("affectnet8", "folder"), 1),
    "affectnet_yolo": (yolo, ("affectnet7", "affectnet8", "yolo"), 1),
    "ck48": (ck48, ("ckplus",), 4),
    "ckextended": (lambda r: fer2013_table(r, "ckextended.csv", first=1), ("ckplus",), 1),
}


@pytest.fixture(params=READ)
def form(request, tmp_path):
    make, readers, count = READ[request.param]
    make(tmp_path)
    return tmp_path, readers, count


def test_form_is_read(form):
    root, readers, count = form
    for name in readers:
        reader = get_reader(name, root)
        for split in reader.splits:
            samples = reader.load(split).samples
            assert Counter(s.label for s in samples) == dict.fromkeys(
                range(len(reader.classes)), count
            )


def test_other_readers_name_those_that_read_it(form):
    root, readers, _ = form
    assert {form.reader for form in find_forms(root)} >= set(readers)
    for name in ("manifest", "packed"):
        with pytest.raises(LayoutError) as caught:
            get_reader(name, root)
        assert all(reader in str(caught.value).split(". ")[-1] for reader in readers)


@pytest.mark.parametrize(
    ("make", "name", "options", "reason"),
    [
        (lambda r: rafdb_list(r, "{}.jpg {} 2"), "rafdb", {}, r"2 values after.*label_column=1"),
        (lambda r: rafdb_list(r, "{0}.jpg {2}"), "rafdb", {}, "first_label=0"),
        (lambda r: rafdb_list(r, "{}.jpg 1{}"), "rafdb", {}, "7 neutral; found 11.*rafdb_compound"),
        (lambda r: class_folders(r, range(1, 8)), "fer2013", {}, "use the dataset rafdb"),
        (lambda r: class_folders(r, range(1, 8)), "folder", {}, "codes=rafdb"),
        (
            lambda r: class_folders(r, [f"class{i:03d}" for i in range(1, 8)]),
            "rafdb",
            {},
            "numbers",
        ),
        (
            lambda r: class_folders(r, AFFECTNET),
            "fer2013",
            {},
            "contempt is not a class of fer2013",
        ),
        (lambda r: affectnet_table(r, "fear"), "affectnet8", {}, "7 images have another label"),
        (yolo, "folder", {}, "layout of affectnet7 or affectnet8 or yolo"),
        (lambda r: yolo(r, "0 1"), "yolo", {}, "are numbers"),
        (lambda r: fer2013_table(r, first=1), "fer2013", {}, "6 neutral; found 7.*ckplus"),
        (lambda r: class_folders(r, AFFECTNET), "ferplus", {"rule": "plurality8"}, "no votes"),
        (
            lambda r: fer2013_table(r, "ckextended.csv"),
            "ckplus",
            {"fold": 0},
            "does not tell people",
        ),
        (lambda r: write_text(r / "faces.zip", ""), "folder", {}, r"Unpack faces\.zip first"),
    ],
)
def test_form_is_refused_with_what_to_do(tmp_path, make, name, options, reason):
    def load_all():
        reader = get_reader(name, tmp_path, options)
        return [reader.load(split) for split in reader.splits]

    make(tmp_path)
    with pytest.raises(Ke2ntError, match=reason):
        load_all()


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("{0}.jpg {1} 2", {"label_column": 1}),
        ("{0}.jpg 2 {1}", {"label_column": 2}),
        ("{0}.jpg {2}", {"first_label": 0}),
    ],
)
def test_options_of_lists(tmp_path, line, options):
    rafdb_list(tmp_path, line)
    train = get_reader("rafdb", tmp_path, options).load("train")
    assert [sample.label for sample in train.samples] == list(range(7))


def test_lists_of_single_splits(tmp_path):
    rafdb_split_lists(tmp_path, "list")
    reader = get_reader("rafdb", tmp_path)
    assert reader.splits == ("train", "test")
    test = reader.load("test")
    assert [sample.label for sample in test.samples] == list(range(7))
    assert all(sample.source.is_file() for sample in test.samples)

    rafdb_split_lists(tmp_path, "list", first=0)
    with pytest.raises(DataError, match="first_label=0"):
        get_reader("rafdb", tmp_path).load("test")
    zero = get_reader("rafdb", tmp_path, first_label=0).load("test")
    assert [sample.label for sample in zero.samples] == list(range(7))


def test_pixels_beside_votes_must_have_the_same_rows(tmp_path):
    ferplus_votes(tmp_path, csv="pixels")
    lines = (tmp_path / "fer2013.csv").read_text().splitlines()
    write_text(tmp_path / "fer2013.csv", "\n".join(lines[:1] + lines[2:]))
    with pytest.raises(DataError, match=r"does not have the rows of fer2013new\.csv"):
        get_reader("ferplus", tmp_path).load("train")


def test_validation_part_of_ck48_has_other_people(tmp_path):
    ck48(tmp_path)
    for name in ("ckplus", "folder"):
        root = tmp_path / "CK+48" if name == "folder" else tmp_path
        train, val = carve_validation(get_reader(name, root).load("all"), 0.4, 0)
        people = [{sample.subject for sample in part.samples} for part in (train, val)]
        assert all(people)
        assert not people[0] & people[1]


def test_foreign_names_in_ck48_cannot_be_dealt_to_folds(tmp_path):
    ck48(tmp_path)
    assert "no_subject" not in [f.kind for f in get_reader("ckplus", tmp_path).remarks()]
    for name in ("zz_extra.png", "zz_other.png"):
        write_image(tmp_path / "CK+48" / "anger" / name, 1, 8)

    reader = get_reader("ckplus", tmp_path)
    assert len(reader.load("all")) == 30
    (finding,) = (f for f in check_dataset(reader, quiet=True).findings if f.kind == "no_subject")
    assert finding.count == 2
    assert finding.examples == ("CK+48/anger/zz_extra.png", "CK+48/anger/zz_other.png")
    message = r"2 of 30 images do not tell the person.*found CK\+48/anger/zz_extra\.png, .*Rename"
    with pytest.raises(DataError, match=message):
        get_reader("ckplus", tmp_path, {"fold": 0, "folds": 3}).load("train")


def test_class_folders_are_found_below(tmp_path):
    class_folders(tmp_path / "archive" / "data", FER)
    with pytest.raises(LayoutError, match=r"were found in \S*archive/data: use the dataset folder"):
        get_reader("manifest", tmp_path)


def test_folder_in_place_of_a_name(tmp_path):
    rafdb_kaggle(tmp_path)
    with pytest.raises(DataError, match=r"not a dataset.*layout of rafdb"):
        check_arguments(str(tmp_path), None)
    check_arguments("drawn", None)
