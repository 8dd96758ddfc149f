"""Prompt sets whose classes the text encoder cannot tell apart have no scores."""

from __future__ import annotations

import pytest
from lab_oracles import CLASSES, WordEncoder, random_faces, vector

from ke2nt.errors import Ke2ntWarning, PromptError
from ke2nt.promptlab.workbench import build_workbench
from ke2nt.prompts.prompt_set import PromptSet


def words(name, fear):
    classes = {each: [each] for each in CLASSES} | {"fear": fear}
    return PromptSet(name=name, templates=["{class}"], classes=classes)


def build(tmp_path, *sets):
    # reads "ANGER" as "anger", as an encoder of lower-case words does
    encoder = WordEncoder({"ANGER": vector("anger")})
    return build_workbench(random_faces(), sets, text_encoder=encoder, cache_dir=tmp_path)


def test_a_set_with_classes_that_look_the_same_is_refused(tmp_path):
    message = r"words cannot tell some classes apart.*'anger' = 'fear'"
    with pytest.warns(Ke2ntWarning), pytest.raises(PromptError, match=message):
        build(tmp_path, words("good", ["afraid"]), words("bad", ["ANGER"]))


def test_one_prompt_of_several_is_only_named(tmp_path):
    with pytest.warns(Ke2ntWarning, match="'ANGER' = 'anger'"):
        workbench = build(tmp_path, words("mixed", ["afraid", "ANGER"]))
    assert workbench.pool.classes == CLASSES
