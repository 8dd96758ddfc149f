"""Packages whose `__init__` runs only when something needs it."""

from __future__ import annotations

import importlib
import sys

import pytest
from command_line import run_unimported

from ke2nt.runtime.partial_packages import partial_packages

TIMM = """
import sys
from ke2nt.models.timm_models import build_timm_model

options = dict(image_size=32, in_chans=3, stem="small", drop_path=None, pretrained=False)
net = build_timm_model("resnet10t", **options, options={})
assert not any(m.startswith("timm.models.vision") for m in sys.modules)
assert "torchvision.transforms" not in sys.modules

import timm
import torchvision.transforms
assert len(timm.list_models()) > 1000
assert "torch._dynamo" not in sys.modules
from timm.models.resnet import ResNet
assert type(net) is ResNet and timm.models.resnet.ResNet is ResNet
assert timm.data.create_transform and torchvision.ops.nms and timm.__version__
print("done")
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package `big` whose parts count how often they are imported."""
    files = {
        "big/__init__.py": "from .names import NAME\nfrom .inner import Light, heavy\n"
        "VALUE = heavy.VALUE",
        "big/names.py": "NAME = 'big'",
        "big/light.py": "from big import NAME\nclass Light: pass",
        "big/inner/__init__.py": "from . import heavy\nfrom ..light import Light",
        "big/inner/heavy.py": "VALUE = 7",
        "big/inner/leaf.py": "from ..light import Light",
        "big/broken.py": "raise OSError('broken')",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "big"]:
        del sys.modules[name]


PARTS = {"big": "names", "big.inner": None}


def loaded():
    return {name for name in sys.modules if name.partition(".")[0] == "big"}


def test_init_runs_when_a_name_is_missing(package):
    with partial_packages(PARTS):
        leaf = importlib.import_module("big.inner.leaf")
    assert loaded() == {"big", "big.names", "big.inner", "big.inner.leaf", "big.light"}

    # questions of tools do not count
    big = sys.modules["big"]
    assert not hasattr(big, "__wrapped__")
    assert "big.inner.heavy" not in sys.modules
    assert big.VALUE == 7 == big.inner.heavy.VALUE
    assert big.inner.Light is leaf.Light is big.light.Light
    assert not hasattr(big, "nothing")


def test_init_around_a_package_runs_first(package):
    with partial_packages(PARTS):
        importlib.import_module("big.inner.leaf")
    inner = sys.modules["big.inner"]
    assert inner.heavy.VALUE == 7
    assert "VALUE" in vars(sys.modules["big"])


def test_everything_is_forgotten_after_an_error(package):
    with pytest.raises(OSError, match="broken"), partial_packages(PARTS):
        importlib.import_module("big.broken")
    assert loaded() == set()
    assert importlib.import_module("big").VALUE == 7


def test_absent_package_is_an_import_error(package):
    with pytest.raises(ImportError), partial_packages({"big_nowhere": None}):
        pass


def test_loaded_package_stays_as_it_is(package):
    big = importlib.import_module("big")
    with partial_packages(PARTS):
        assert sys.modules["big"] is big
    assert "VALUE" in vars(big)


def test_timm_is_whole_for_whoever_asks_after_one_network():
    done = run_unimported("--version", before=TIMM)
    assert "done" in done.stdout, done.stderr


def test_a_package_within_is_completed_while_the_outer_one_asks_for_it(package):
    with partial_packages(PARTS):
        importlib.import_module("big.inner.leaf")
    inner = importlib.import_module("big.inner")

    # big imports a name from big.inner that only its __init__ defines
    assert inner.Light is importlib.import_module("big.light").Light
    assert importlib.import_module("big").VALUE == 7
