"""The output record: it unpacks, keeps its stages, and passes through the tools of torch."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.utils import _pytree as pytree

from ke2nt.models.build import build_model
from ke2nt.models.output import KE2NTOutput

CLASSES = ("neutral", "happiness", "anger")


def make_output(offset=0.0, **more):
    logits = torch.arange(6.0).reshape(2, 3) + offset
    return KE2NTOutput(logits, logits[:, :2] + 1, logits[:, :2] - 1, **more)


@pytest.fixture
def deep():
    stages = (make_output(10.0), make_output(20.0))
    return make_output(stages=stages, attention=(torch.rand(2, 4, 4), torch.rand(2, 2, 2)))


def make_model(attention=None):
    options = {"backbone": "resnet18", "image_size": 32, "backbone_options": {"base_width": 64}}
    if attention is not None:
        options["attention"] = attention
    return build_model({"head": "linear", **options}, classes=CLASSES).eval()


def test_it_unpacks_into_logits_and_both_embeddings(deep):
    logits, embeddings, neutral = deep
    assert logits is deep.logits
    assert embeddings is deep.embeddings
    assert neutral is deep.neutral_embeddings
    assert list(KE2NTOutput(logits, embeddings))[2] is None


def test_fields_cannot_be_assigned(deep):
    with pytest.raises(dataclasses.FrozenInstanceError):
        deep.logits = torch.zeros(2, 3)


def test_replace_keeps_stages_and_attention(deep):
    changed = deep.replace(logits=deep.logits * 2)
    assert torch.equal(changed.logits, deep.logits * 2)
    assert changed.embeddings is deep.embeddings
    assert changed.stages is deep.stages
    assert changed.attention is deep.attention


def test_map_changes_every_tensor(deep):
    first = deep.map(lambda rows: rows[:1])
    tensors = [*first, *first.attention, *(tensor for stage in first.stages for tensor in stage)]
    assert [len(tensor) for tensor in tensors] == [1] * 11
    assert torch.equal(first.stages[1].logits, deep.stages[1].logits[:1])
    assert KE2NTOutput(deep.logits, deep.embeddings).map(torch.neg).neutral_embeddings is None


def test_map_heads_changes_the_fused_output_and_each_stage(deep):
    doubled = deep.map_heads(lambda head: head.replace(logits=head.logits * 2))
    heads, doubled_heads = (deep, *deep.stages), (doubled, *doubled.stages)
    for before, after in zip(heads, doubled_heads, strict=True):
        assert torch.equal(after.logits, before.logits * 2)
        assert torch.equal(after.embeddings, before.embeddings)
    assert doubled.attention is deep.attention


def test_pytree_functions_see_its_tensors(deep):
    assert len(pytree.tree_leaves(deep)) == 11
    moved = pytree.tree_map(lambda tensor: tensor.double(), deep)
    assert isinstance(moved, KE2NTOutput)
    assert moved.stages[0].logits.dtype == torch.float64


@pytest.mark.parametrize("attention", [None, {"stages": 2}])
def test_a_compiled_model_returns_it(attention):
    model, images = make_model(attention), torch.randn(2, 3, 32, 32)
    compiled = torch.compile(model, backend="eager", fullgraph=attention is None)
    with torch.no_grad():
        output, expected = compiled(images), model(images)
    assert isinstance(output, KE2NTOutput)
    assert torch.equal(output.logits, expected.logits)
    assert len(output.stages) == len(expected.stages)


def test_an_exported_program_returns_it():
    model, images = make_model(), torch.randn(2, 3, 32, 32)
    program = torch.export.export(model, (images,))
    with torch.no_grad():
        output, expected = program.module()(images), model(images)
    assert isinstance(output, KE2NTOutput)
    torch.testing.assert_close(output.logits, expected.logits)
