"""Whatever a file contains, only errors of ke2nt are raised.

Votes, label lists, manifests, prompts, images and text banks: beside the tests of their readers.
"""

from __future__ import annotations

import contextlib
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from ke2nt.banks.image_files import EmbeddedImages, read_embedded, write_embedded
from ke2nt.config.load import load_config
from ke2nt.datasets.catalog import get_reader
from ke2nt.datasets.pack import pack_dataset
from ke2nt.errors import Ke2ntError
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.load import load_model
from ke2nt.runtime.digest import digest_bytes, digest_json
from ke2nt.training.checkpoint import load_checkpoint, save_checkpoint
from ke2nt.training.progress import Progress
from ke2nt.training.run_directory import RunDirectory
from ke2nt.training.state import TrainingState

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
YAML = st.binary(max_size=60) | st.text("{}[]:-&*!?|>'\"#%@`,. \nabdt01_", max_size=60)
TENSOR = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F64", "BF16", "I64", "BOOL", "X9", 7]),
        "shape": st.lists(st.integers(-1, 2**62), max_size=3) | st.just([3, 3]),
        "data_offsets": st.lists(st.integers(0, 200), min_size=2, max_size=2) | st.just([0, 36]),
    }
)
NAMES = ("head.weight", "head.bias", "model.weight", "optim.9.exp_avg", "optim.x", "__metadata__")
HEADER = st.dictionaries(st.sampled_from(NAMES), TENSOR | JSON, max_size=4) | JSON
LENGTH = st.none() | st.integers(0, 2**64 - 1)
FEW = settings(max_examples=25, deadline=None)


def tensor_file(header, length, body):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


@contextlib.contextmanager
def copy_of(files):
    """A new folder with the same files; only errors of ke2nt are allowed."""
    with tempfile.TemporaryDirectory() as name:
        for file, data in files.items():
            (Path(name) / file).write_bytes(data)
        with contextlib.suppress(Ke2ntError):
            yield Path(name)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@FEW
@given(text=YAML)
def test_any_configuration_file(text):
    data = text if isinstance(text, bytes) else text.encode()
    with copy_of({"config.yaml": data}) as folder:
        load_config(folder / "config.yaml")
    with copy_of({"config.yaml": data}) as folder:
        RunDirectory(folder).load_config()


@FEW
@given(text=st.text(max_size=30) | st.text("optim.lr=[]{}0123456789-: ", max_size=30))
def test_any_override(text):
    with contextlib.suppress(Ke2ntError):
        load_config("quickstart", [text])


@pytest.mark.parametrize("value", ["2024-13-45", "[" * 400, "!!python/object:os.system x"])
def test_values_that_break_yaml(value):
    with pytest.raises(Ke2ntError):
        load_config("quickstart", [f"optim.lr={value}"])


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "m"
    torch.manual_seed(0)
    LinearClassifier(("neutral", "anger"), "test_resnet", 24).save_pretrained(folder)
    return content(folder)


FIELDS = ("kind", "format_version", "classes", "preprocessing", "architecture", "calibration")


@FEW
@given(field=st.sampled_from((*FIELDS, "provenance", "card", "digests", "dtype")), value=JSON)
def test_forged_model_configurations(model_files, field, value):
    config = {**json.loads(model_files["config.json"]), field: value}
    with copy_of({**model_files, "config.json": json.dumps(config).encode()}) as folder:
        load_model(folder)


@FEW
@given(
    part=st.sampled_from(("preprocessing", "architecture", "card")),
    key=st.sampled_from(
        ("image_size", "mean", "std", "gray", "head", "stem", "dropout", "x", "data", "evaluations")
    ),
    value=JSON,
)
def test_forged_parts_of_model_configurations(model_files, part, key, value):
    config = json.loads(model_files["config.json"])
    config[part] = {**config[part], key: value}
    with copy_of({**model_files, "config.json": json.dumps(config).encode()}) as folder:
        load_model(folder)


@FEW
@given(header=HEADER, length=LENGTH, body=st.binary(max_size=50))
def test_forged_weights(model_files, header, length, body):
    data = tensor_file(header, length, body)
    config = json.loads(model_files["config.json"])
    config["digests"]["model.safetensors"] = digest_bytes(data)
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": data}
    with copy_of({**model_files, **files}) as folder:
        load_model(folder)


PROGRESS = Progress(2, 1, 0.5, 1, {"total": 1.0}, {"total": 1}, [{"epoch": 1, "seconds": 0.5}])


def trained():
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


@pytest.fixture(scope="module")
def checkpoint_files(tmp_path_factory):
    model, optimizer = trained()
    folder = tmp_path_factory.mktemp("run")
    return content(save_checkpoint(folder, TrainingState(model, optimizer), PROGRESS, keep=2))


def load_state(folder):
    model, optimizer = trained()
    return load_checkpoint(folder, TrainingState(model, optimizer))


def test_checkpoint_is_restored(checkpoint_files):
    with copy_of(checkpoint_files) as folder:
        assert load_state(folder) == PROGRESS
        return
    pytest.fail("it was refused")


@FEW
@given(
    field=st.sampled_from(("format", "digest", "ema_updates", "progress")),
    inner=st.none() | st.sampled_from(("epoch", "step", "best", "sums", "records", "x")),
    value=JSON,
)
def test_forged_checkpoint_facts(checkpoint_files, field, inner, value):
    facts = json.loads(checkpoint_files["state.json"])
    if inner is None:
        facts[field] = value
    else:
        facts["progress"][inner] = value
    files = {**checkpoint_files, "state.json": json.dumps(facts).encode()}
    with copy_of(files) as folder:
        progress = load_state(folder)
        assert progress.epoch >= 0
        assert all(isinstance(record, dict) for record in progress.records)


@FEW
@given(header=HEADER, length=LENGTH, body=st.binary(max_size=50))
def test_forged_checkpoint_tensors(checkpoint_files, header, length, body):
    data = tensor_file(header, length, body)
    facts = {**json.loads(checkpoint_files["state.json"]), "digest": digest_bytes(data)}
    files = {"state.json": json.dumps(facts).encode(), "state.safetensors": data}
    with copy_of(files) as folder:
        load_state(folder)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optim.model.gone.exp_avg": torch.zeros(2)}, "model.gone"),
        ({"optim.x": torch.zeros(2)}, "x"),
        ({"optim.model.bias.exp_avg": torch.zeros(1)}, r"bias.*shape \[1\], not \[2\]"),
        ({"optim.model.bias.step": torch.zeros(2)}, r"step.*shape"),
        ({"optim.model.bias.max_exp_avg": torch.zeros(2)}, "another optimizer"),
        ({"optim.model.bias.exp_avg": None}, "another optimizer"),
    ],
    ids=str,
)
def test_optimizer_refuses_state_of_another_shape(checkpoint_files, tmp_path, changes, words):
    """Fused kernels would write outside of the tensor."""
    tensors = {**load(checkpoint_files["state.safetensors"]), **changes}
    data = save({name: value for name, value in tensors.items() if value is not None})
    facts = {**json.loads(checkpoint_files["state.json"]), "digest": digest_bytes(data)}
    (tmp_path / "state.safetensors").write_bytes(data)
    (tmp_path / "state.json").write_text(json.dumps(facts))
    with pytest.raises(Ke2ntError, match=f"belongs to another model.*{words}"):
        load_state(tmp_path)


RECIPE = {"encoder": "x", "size": 3}


@pytest.fixture(scope="module")
def entry_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("entry")
    rows = EmbeddedImages(np.eye(2, dtype=np.float32), {0: "broken"}, 9.0)
    write_embedded(rows, folder / "images", RECIPE)
    assert read_embedded(folder / "images", RECIPE, rows.count).failed == {0: "broken"}
    return content(folder)


@FEW
@given(
    field=st.sampled_from(("recipe", "count", "failed", "logit_scale", "embeddings_sha256")),
    value=JSON,
    numbers=st.none() | st.binary(max_size=120),
)
def test_forged_cache_entries(entry_files, field, value, numbers):
    facts = json.loads(entry_files["images.json"])
    del facts["facts_sha256"]
    files = dict(entry_files)
    if numbers is not None:
        facts["embeddings_sha256"] = digest_bytes(numbers)
        files["images.npy"] = numbers
    facts[field] = value
    with contextlib.suppress(ValueError):  # NaN has no digest
        facts["facts_sha256"] = digest_json(facts)
    with copy_of({**files, "images.json": json.dumps(facts).encode()}) as folder:
        read_embedded(folder / "images", RECIPE, 3)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"recipe": 1}', "null", ""])
def test_cache_entries_that_are_not_mappings(entry_files, text):
    with copy_of({**entry_files, "images.json": text.encode()}) as folder:
        read_embedded(folder / "images", RECIPE, 3)
        pytest.fail("it was believed")


@pytest.fixture(scope="module")
def packed_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "p"
    pack_dataset(get_reader("drawn", count=24, size=24), folder, 16, splits=["val"], quiet=True)
    return content(folder)


COLUMNS = ("rows", "names", "labels", "distributions", "subjects", "attributes")


@FEW
@given(field=st.sampled_from((*COLUMNS, "classes", "dataset", "format", "split")), value=JSON)
def test_forged_packed_facts(packed_files, field, value):
    facts = {**json.loads(packed_files["val.json"]), field: value}
    with copy_of({**packed_files, "val.json": json.dumps(facts).encode()}) as folder:
        split = get_reader("packed", folder).load("val")
        assert split.distributions().shape == (len(split), len(split.classes))


@FEW
@given(column=st.sampled_from(COLUMNS[:5]), value=JSON)
def test_forged_packed_cells(packed_files, column, value):
    facts = json.loads(packed_files["val.json"])
    facts[column] = [value, *facts[column][1:]]
    with copy_of({**packed_files, "val.json": json.dumps(facts).encode()}) as folder:
        split = get_reader("packed", folder).load("val")
        assert split.distributions().shape == (len(split), len(split.classes))
