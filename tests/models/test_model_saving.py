"""Folders: written whole, read bit-exact, and refused when their files do not belong together."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from ke2nt.banks.text_bank import TextBank
from ke2nt.checkpoints.model_folder import update_folder
from ke2nt.errors import CheckpointError, LabelError, ModelError
from ke2nt.models.ke2nt import KE2NT
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.load import load_model
from ke2nt.runtime.digest import digest_file
from ke2nt.runtime.hub_names import looks_like_hub_id


@pytest.fixture
def saved(model, tmp_path, images):
    model(images)  # moves the batch statistics
    model.save_pretrained(tmp_path / "model", provenance={"seed": 29})
    return tmp_path / "model"


def edit(folder, change, *, redigest=()):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    for name in redigest:
        config["digests"][name] = digest_file(folder / name)
    path.write_text(json.dumps(config))


def test_outputs_are_bit_exact(saved, model, images, bank):
    for loaded in (KE2NT.from_pretrained(saved), load_model(str(saved))):
        assert isinstance(loaded, KE2NT)
        assert not loaded.training
        for a, b in zip(loaded(images), model.eval()(images), strict=True):
            assert torch.equal(a, b)
        assert loaded.classes == model.classes
        assert loaded.architecture == model.architecture
        assert loaded.preprocessing == model.preprocessing
        assert loaded.bank.logit_scale == bank.logit_scale
        assert loaded.bank.neutral_index == bank.neutral_index


def test_linear_models_too(linear, images, tmp_path):
    linear.save_pretrained(tmp_path / "m")
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    loaded = load_model(tmp_path / "m")
    assert isinstance(loaded, LinearClassifier)
    assert torch.equal(loaded(images).logits, linear.eval()(images).logits)
    with pytest.raises(CheckpointError, match=r"another head.*expected text; found linear"):
        KE2NT.from_pretrained(tmp_path / "m")


def test_learned_scale_and_options_come_back(bank, images, tmp_path):
    model = KE2NT(bank, "resnet18", 32, stem="small", reduction=3, learn_logit_scale=True)
    model.log_logit_scale.data.fill_(2.5)
    model.eval().save_pretrained(tmp_path / "m")
    assert torch.equal(load_model(tmp_path / "m")(images).logits, model(images).logits)


def test_content_of_the_configuration(saved):
    config = json.loads((saved / "config.json").read_text())
    assert config["format_version"] == 1
    assert config["classes"] == ["neutral", "happiness", "anger", "fear"]
    assert config["provenance"]["seed"] == 29
    assert "torch" in config["provenance"]["versions"]
    assert config["preprocessing"]["image_size"] == 32
    assert sorted(p.name for p in saved.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "text_bank.json",
        "text_bank.safetensors",
    ]
    assert not [name for name in load_file(saved / "model.safetensors") if "text" in name]


def test_provenance_and_a_changed_bank_survive_a_second_round(saved, new_bank, images, tmp_path):
    loaded = load_model(saved)
    loaded.set_bank(new_bank(classes=("calm", "rage", "dread"), seed=2))
    loaded.provenance["revision"] = "of the training"
    loaded.save_pretrained(tmp_path / "again")
    again = load_model(tmp_path / "again")
    assert again.classes == ("calm", "rage", "dread")
    assert again.provenance["seed"] == 29
    assert again.provenance["revision"] == "of the training"
    assert torch.equal(again(images).logits, loaded(images).logits)


def test_prompts_of_the_bank_are_in_the_configuration(tmp_path):
    bank = TextBank.build("paper")
    KE2NT(bank, "mobilenetv3_small_050", 32).save_pretrained(tmp_path / "m")
    prompts = json.loads((tmp_path / "m" / "config.json").read_text())["prompts"]
    assert list(prompts) == list(bank.classes)
    assert "anger" in prompts["anger"][0]


def test_a_run_directory_is_read_through_its_model_folder(saved):
    assert load_model(saved.parent).classes == load_model(saved).classes


def test_saving_again_replaces_and_foreign_files_are_kept(saved, model):
    model.save_pretrained(saved)
    load_model(saved)
    (saved / "thesis.txt").write_text("precious")
    with pytest.raises(CheckpointError, match=r"would replace files.*thesis\.txt"):
        model.save_pretrained(saved)
    assert (saved / "thesis.txt").read_text() == "precious"
    with pytest.raises(CheckpointError, match="found a file"):
        model.save_pretrained(saved / "thesis.txt")


@pytest.mark.parametrize("name", ["model.safetensors", "text_bank.safetensors", "text_bank.json"])
def test_altered_truncated_and_absent_files_are_named(saved, name):
    data = (saved / name).read_bytes()
    flipped = bytearray(data)
    flipped[-3] ^= 1
    for content in (bytes(flipped), data[: len(data) // 2]):
        (saved / name).write_bytes(content)
        with pytest.raises(CheckpointError, match=f"{name} is not the file that was saved"):
            load_model(saved)
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"lacks {name}"):
        load_model(saved)


def test_a_bank_of_another_model_is_refused(saved, new_bank, tmp_path):
    other = new_bank(classes=("neutral", "anger", "happiness", "fear"))
    other.save(saved)
    with pytest.raises(CheckpointError, match=r"text_bank\.\w+ is not the file that was saved"):
        load_model(saved)
    names = ("text_bank.safetensors", "text_bank.json")
    edit(saved, lambda config: None, redigest=names)
    with pytest.raises(LabelError, match="label sets differ"):
        load_model(saved)


def test_label_sets_must_agree_in_order(saved, linear, tmp_path):
    linear.save_pretrained(tmp_path / "linear")
    for folder in (saved, tmp_path / "linear"):
        edit(folder, lambda config: config["classes"].reverse())
        with pytest.raises(LabelError, match="label sets differ"):
            load_model(folder)


def test_head_of_another_size_is_refused(linear, tmp_path):
    linear.save_pretrained(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    state = load_file(path)
    state["classifier.weight"] = state["classifier.weight"][:3].clone()
    save_file(state, path, {"classes": json.dumps(linear.classes)})
    edit(tmp_path / "m", lambda config: None, redigest=("model.safetensors",))
    with pytest.raises(CheckpointError, match=r"classifier\.weight first.*\(4, 1024\)"):
        load_model(tmp_path / "m")
    save_file(state, path)
    edit(tmp_path / "m", lambda config: None, redigest=("model.safetensors",))
    with pytest.raises(LabelError, match="do not name their label set"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda c: c.update(format_version=2), CheckpointError, "format_version 1; found 2"),
        (lambda c: c.update(kind="bert"), CheckpointError, "not a saved ke2nt model"),
        (lambda c: c.pop("digests"), CheckpointError, "incomplete.*expected digests"),
        (lambda c: c.update(classes="abc"), CheckpointError, "incomplete.*expected classes"),
        (lambda c: c["architecture"].update(head="magic"), ModelError, "unknown head 'magic'"),
        (lambda c: c["architecture"].update(head=[1]), ModelError, "unknown head"),
        (lambda c: c["architecture"].update(foo=1), CheckpointError, "architecture is not valid"),
        (lambda c: c["architecture"].update(reduction=2), CheckpointError, "do not fit"),
        (lambda c: c["architecture"].update(backbone="nope"), ModelError, "unknown backbone"),
        (lambda c: c["preprocessing"].update(foo=1), CheckpointError, "preprocessing"),
        (
            lambda c: c["architecture"].update(backbone_options={"checkpoint_path": "x"}),
            ModelError,
            "may not set checkpoint_path",
        ),
    ],
)
def test_invalid_configuration(saved, change, error, message):
    edit(saved, change)
    with pytest.raises(error, match=message):
        load_model(saved)


@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", '"model"'])
def test_unreadable_configuration(saved, text):
    (saved / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(saved)


def test_missing_folder_does_not_query_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *a, **k: asked.append(a))
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    paths = (
        "./x",
        "../x",
        "~/x",
        "x/",
        "user/name/",
        "runs/mnie",
        "a\\b",
        str(tmp_path / "nothing"),
    )
    for name in ("empty", "nothing", "a/b/c", "../up/there", *paths):
        with pytest.raises(CheckpointError, match="no saved model"):
            load_model(name)
    with pytest.raises(CheckpointError, match="Did you mean 'runs/mine'"):
        load_model("runs/mnie")
    with pytest.raises(CheckpointError, match="Did you mean 'ferplus-resnet18'"):
        load_model("ferplus-resnet81")
    assert asked == []


def test_hub_ids_go_through_snapshot_download(saved, monkeypatch, images):
    seen = {}

    def download(repo, *, allow_patterns):
        seen.update(repo=repo, files=allow_patterns)
        return str(saved)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert KE2NT.from_pretrained("someone/faces").classes == load_model(saved).classes
    assert seen["repo"] == "someone/faces"
    assert set(seen["files"]) == {p.name for p in saved.iterdir()} | {"familiarity.safetensors"}


def test_missing_hub_model():
    with pytest.raises(CheckpointError, match=r"no folder 'someone/absent'.*HF_HUB_OFFLINE is set"):
        load_model("someone/absent")
    assert not looks_like_hub_id("model")


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("RepositoryNotFoundError", 404, "nothing of that name on the hub"),
        ("GatedRepoError", 403, "must give you access"),
        ("LocalEntryNotFoundError", None, "cannot be reached"),
        ("HfHubHTTPError", 401, "no permission"),
        ("HfHubHTTPError", 503, "status 503"),
        ("ConnectError", None, "no connection"),
    ],
)
def test_no_message_of_the_hub_library_is_shown(monkeypatch, name, status, words):
    kind = type(name, (OSError,), {"response": SimpleNamespace(status_code=status)})

    def fail(*args, **options):
        raise kind("401 Client Error. (Request ID: Root=1-6) https://huggingface.co/api") from None

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(CheckpointError, match=words) as caught:
        load_model("someone/absent")
    assert "Client Error" not in str(caught.value)
    assert "huggingface" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "text_bank.safetensors"])
def test_a_file_that_git_did_not_fetch_is_named(saved, name):
    (saved / name).write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n"
    )
    with pytest.raises(CheckpointError, match=rf"{name}.*Git LFS pointer"):
        load_model(saved)


def test_loading_needs_no_network_for_a_model_from_timm_weights(saved, monkeypatch):
    import timm

    build = timm.create_model

    def refuse(*args, pretrained=False, **options):
        assert not pretrained
        return build(*args, **options)

    monkeypatch.setattr(timm, "create_model", refuse)
    load_model(saved)


def test_a_moved_folder_still_loads(saved, tmp_path):
    shutil.move(saved, tmp_path / "elsewhere")
    load_model(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("data", ["ferplus"]),
        ("data.options", "rule"),
        ("config.data", 3),
        ("started_from", "model"),
        ("started_from.data", "ferplus"),
        ("started_from.train_splits", ["train"]),
        ("evaluations", {"accuracy": 1}),
        ("evaluations", ["good"]),
    ],
)
def test_damaged_facts_for_the_card_are_named(saved, path, value):
    def damage(config):
        *parents, last = path.split(".")
        part = config["card"]
        for name in parents:
            part = part.setdefault(name, {})
        part[last] = value

    edit(saved, damage)
    with pytest.raises(CheckpointError, match=rf"card are damaged.*delete {path} from"):
        load_model(saved)


def test_evaluation_without_figures_is_named_when_the_card_is_written(saved):
    edit(saved, lambda config: config["card"].update(evaluations=[{"dataset": "x"}]))
    with pytest.raises(CheckpointError, match="card are damaged"):
        update_folder(saved, card={"name": "mine"})
