"""CoOp as a few-shot method, on the text tower of a tiny CLIP."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from few_shot_task import CLASSES, make_task
from tiny_text_towers import open_clip_folder

from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import ModelError
from ke2nt.fewshot import coop
from ke2nt.fewshot.cell import FewShotCell, read_cell, write_cell
from ke2nt.fewshot.selection import score_validation
from ke2nt.prompts.prompt_set import PromptSet


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    return open_clip_folder(tmp_path_factory.mktemp("coop"), "clip")


def test_learned_words_fit_the_images_better(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(coop, "choose_epochs", lambda shots, count: 6)
    prompts = PromptSet.load("paper")
    bank = TextBank.build(prompts, spec, CLASSES, tmp_path)
    cache = {"cache_dir": tmp_path}
    task = replace(make_task(), bank=bank, prompts=prompts, text_encoder=spec, **cache)
    fitted = coop.fit_coop(task)

    # an ordinary bank of the same classes, which a repeat makes again
    assert fitted.adapter is None
    assert fitted.bank.classes == CLASSES
    assert fitted.bank.neutral_index == 0
    logits = fitted.logits(task.validation.embeddings, 30.0)
    again = coop.fit_coop(task).logits(task.validation.embeddings, 30.0)
    torch.testing.assert_close(logits, again)

    # what is reported is what the epoch was chosen by
    score = score_validation(logits, task.validation.labels)
    assert score.uar == pytest.approx(fitted.chosen["validation_uar"])
    assert 1 <= fitted.chosen["epoch"] <= 6
    assert not torch.allclose(fitted.bank.embeddings, bank.embeddings)

    # stored with its bank
    cell = FewShotCell("coop", 4, 1, fitted, logits, 0.1)
    write_cell(tmp_path / "cell.safetensors", cell, "key")
    stored = read_cell(tmp_path / "cell.safetensors", "key")
    torch.testing.assert_close(stored.fitted.bank.raw, fitted.bank.raw)
    assert stored.fitted.bank.provenance == fitted.bank.provenance


def test_epochs_are_the_published_ones_within_a_number_of_steps():
    found = [coop.choose_epochs(shots, 8 * shots) for shots in (1, 2, 4, 8, 16)]
    assert found == [50, 100, 100, 200, 200]
    assert coop.choose_epochs("all", 25_000) == 1
    assert coop.choose_epochs("all", 640) == 40


def test_words_are_needed():
    with pytest.raises(ModelError, match="needs the prompt set and the text encoder"):
        coop.fit_coop(make_task())
