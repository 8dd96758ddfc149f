"""Old import paths of README, docs and benchmarks still work, each with one warning."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from command_line import run_ke2nt

import ke2nt
from ke2nt import _old_names
from ke2nt.runtime.renamed import RenamedWarning

PACKAGE = Path(ke2nt.__file__).parent

# module → names that were documented in it
DOCUMENTED = {
    "ke2nt.adapt.adapt": ["adapt"],
    "ke2nt.bench.inference": ["inference_speed"],
    "ke2nt.bench.training": ["training_speed"],
    "ke2nt.config.adapt": ["AdaptConfig"],
    "ke2nt.config.gan": ["FesganConfig"],
    "ke2nt.config.load": ["load_config"],
    "ke2nt.config.schema": ["AugmentConfig"],
    "ke2nt.data.augmentation": ["BatchAugmentation"],
    "ke2nt.data.corruption": ["KINDS", "corrupt"],
    "ke2nt.data.images": ["decode"],
    "ke2nt.data.pack": ["pack_dataset"],
    "ke2nt.data.readers.base": ["Reader"],
    "ke2nt.data.readers.catalog": ["READERS", "get_reader"],
    "ke2nt.data.sample": ["FaceSample", "FaceSplit"],
    "ke2nt.data.synth.dataset": ["SyntheticFaces"],
    "ke2nt.data.synth.render": ["REGIONS"],
    "ke2nt.data.tensors": ["FaceTensors"],
    "ke2nt.errors": ["ModelError"],
    "ke2nt.evaluation.calibrate": ["fit_calibration"],
    "ke2nt.evaluation.coverage": ["coverage_risk", "threshold_for_risk"],
    "ke2nt.evaluation.cross": ["cross_evaluate"],
    "ke2nt.evaluation.evaluate": ["evaluate_model", "tensors_for"],
    "ke2nt.evaluation.groups": ["group_report"],
    "ke2nt.evaluation.robustness": ["FIGURES", "LEVELS", "held", "robustness"],
    "ke2nt.evaluation.targets": ["Target"],
    "ke2nt.evaluation.temperature": ["softmax"],
    "ke2nt.explain.checks": ["deletion_insertion", "random_map", "region_share"],
    "ke2nt.explain.heat": ["forward_faces"],
    "ke2nt.explain.methods": ["METHODS"],
    "ke2nt.explain.target": ["Target"],
    "ke2nt.gan.pretrain": ["pretrain"],
    "ke2nt.gan.quality": ["judge_generator"],
    "ke2nt.gan.train": ["train"],
    "ke2nt.lab": ["compare", "geometry", "rank", "search"],
    "ke2nt.lab.scorer": ["PromptScorer"],
    "ke2nt.labels": ["CANONICAL", "NEUTRAL"],
    "ke2nt.losses": ["KE2NTLoss"],
    "ke2nt.models.build": ["build_model"],
    "ke2nt.models.output": ["DeepOutput", "KE2NTOutput"],
    "ke2nt.models.recogniser": ["Recogniser"],
    "ke2nt.models.saving": ["load_model", "push_to_hub"],
    "ke2nt.predict.detection": ["Detection", "get_detector"],
    "ke2nt.predict.intensity": ["intensity"],
    "ke2nt.predict.recognizer": ["Recognizer"],
    "ke2nt.predict.use": ["ModelUse"],
    "ke2nt.prompts.articles": ["fill_template"],
    "ke2nt.prompts.prompt_set": ["PromptSet"],
    "ke2nt.resources": ["list_resources"],
    "ke2nt.runtime.atomic": ["write_json", "write_text"],
    "ke2nt.runtime.digest": ["digest_file"],
    "ke2nt.runtime.provenance": ["machine", "package_versions"],
    "ke2nt.runtime.seeding": ["derive_seed", "seed_everything", "torch_generator"],
    "ke2nt.synthesis.generator": ["FaceGenerator"],
    "ke2nt.text.bank": ["TextBank"],
    "ke2nt.text.encoder": ["EncodedText", "Fingerprint"],
    "ke2nt.train.data": ["training_split"],
    "ke2nt.train.run": ["RunDirectory"],
    "ke2nt.train.train": ["train"],
    "ke2nt.vision.catalog": ["get_image_encoder"],
    "ke2nt.vision.embed": ["embed_split"],
    "ke2nt.zeroshot.evaluate": ["class_logits", "zero_shot"],
}
PAIRS = [(module, name) for module, names in DOCUMENTED.items() for name in names]


def is_old(module, name):
    return module in _old_names.MODULES or name in _old_names.NAMES.get(module, {})


def forget(module):
    """Forget an old module, so that its names warn again."""
    if module in _old_names.MODULES:
        sys.modules.pop(module, None)
    else:
        for name in _old_names.NAMES.get(module, {}):
            importlib.import_module(module).__dict__.pop(name, None)


@pytest.mark.parametrize(("module", "name"), PAIRS)
def test_documented_imports_work_with_one_warning(module, name):
    forget(module)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            names = {}
            exec(f"from {module} import {name}", names)
            assert names[name] is not None

    messages = [str(each.message) for each in caught if each.category is RenamedWarning]
    assert len(messages) == int(is_old(module, name))
    if messages:
        assert f"{module}.{name}" in messages[0]


@pytest.mark.parametrize(("old", "new"), sorted(_old_names.MODULES.items()))
def test_old_modules_are_gone_and_new_ones_exist(old, new):
    assert importlib.util.find_spec(new) is not None
    path = PACKAGE.parent / old.replace(".", "/")
    assert not path.with_suffix(".py").exists()
    assert not (path / "__init__.py").exists()


@pytest.mark.parametrize("module", sorted(_old_names.NAMES))
def test_every_name_of_the_table_is_documented(module):
    assert set(_old_names.NAMES[module]) <= set(DOCUMENTED[module])


def test_names_are_those_of_the_new_module():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ke2nt.models.recogniser import Recogniser
        from ke2nt.text.bank import TextBank

    from ke2nt.models.base import ExpressionModel

    assert TextBank is ke2nt.TextBank
    assert Recogniser is ExpressionModel


def test_old_modules_do_not_hide_public_names():
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from ke2nt.train.train import train\nimport ke2nt\n"
        "assert callable(ke2nt.train) and ke2nt.train is not train, ke2nt.train\n"
        "from ke2nt import train as again\nassert again is ke2nt.train"
    )
    done = run_ke2nt("--version", before=code)
    assert (done.returncode, done.stderr) == (0, "")


def test_unknown_names_and_modules_stay_errors():
    with pytest.raises(ModuleNotFoundError, match=r"ke2nt\.text\.nothing"):
        importlib.import_module("ke2nt.text.nothing")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from ke2nt.text.bank import no_such_name")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from ke2nt.explain.checks import no_such_name")


def test_nothing_is_imported_before_a_name_is_used():
    code = "import sys, ke2nt.text.bank, ke2nt.lab\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("False\n", "")
