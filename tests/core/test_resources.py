"""Shipped YAML files are found by name, in a checkout and in an installed wheel."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from ke2nt import resources
from ke2nt.errors import ConfigError, PromptError
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import find_resource, list_resources, resource_folder

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """The layout of an installed wheel, with one prompt set and one config."""
    package = tmp_path / "site-packages" / "ke2nt"
    for kind, name in (("prompts", "mine"), ("configs", "small")):
        folder = package / "_resources" / kind
        folder.mkdir(parents=True)
        (folder / f"{name}.yaml").write_text(
            "templates: ['a {class}']\nclasses: {neutral: [calm]}\n"
        )
        (folder / "notes.txt").touch()
    monkeypatch.setattr(resources, "__file__", str(package / "resources.py"))
    return package


def test_checkout_folders():
    assert resource_folder("prompts") == CHECKOUT / "prompts"
    assert resource_folder("configs") == CHECKOUT / "configs"


def test_the_list_is_the_folder():
    files = sorted((CHECKOUT / "prompts").glob("*.yaml"))
    assert list(list_resources("prompts").values()) == files


@pytest.mark.parametrize("name", ["paper", "paper.yaml", "prompts/paper.yaml", "prompts/paper"])
def test_names_and_shipped_paths(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_resource("prompts", name) == CHECKOUT / "prompts" / "paper.yaml"


def test_existing_file_comes_before_shipped_names(tmp_path, monkeypatch):
    (tmp_path / "paper.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert find_resource("prompts", "paper.yaml") == Path("paper.yaml")
    assert find_resource("prompts", "paper") == CHECKOUT / "prompts" / "paper.yaml"


def test_home_folder(tmp_path, monkeypatch):
    (tmp_path / "x.yaml").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_resource("prompts", "~/x.yaml") == tmp_path / "x.yaml"


@pytest.mark.parametrize(("kind", "error"), [("prompts", PromptError), ("configs", ConfigError)])
def test_unknown_names(kind, error):
    with pytest.raises(error, match=f"no {kind[:-1]} file or shipped name 'nowhere/papr'"):
        find_resource(kind, "nowhere/papr")


def test_a_near_name_is_suggested():
    with pytest.raises(PromptError, match=r"one of adjectives.*Did you mean 'paper'"):
        find_resource("prompts", "papr")


@pytest.mark.parametrize("name", ["other/paper.yaml", "paper.json", "", "x" * 5000, "~no-user/x"])
def test_invalid_names(name):
    with pytest.raises(PromptError, match="no prompt file"):
        find_resource("prompts", name)


def test_wheel_layout(wheel):
    assert resource_folder("prompts") == wheel / "_resources" / "prompts"
    assert list(list_resources("configs")) == ["small"]
    assert find_resource("configs", "small").parent == wheel / "_resources" / "configs"
    assert PromptSet.load("mine").render("neutral") == ("a calm",)


def test_wheel_contains_both_folders():
    with (CHECKOUT / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {
        "prompts": "ke2nt/_resources/prompts",
        "configs": "ke2nt/_resources/configs",
    }
