"""Training steps of a part of an image tower, of both libraries."""

from __future__ import annotations

import pytest
import torch
from tiny_towers import vision_language_model
from training_runs import prepared

from ke2nt.models.layer_groups import find_layer_groups
from ke2nt.models.lora import is_lora_parameter
from ke2nt.training.progress import Progress

KINDS = ("open_clip-clip", "transformers-clip")
NET = "backbone.net."
# what follows the blocks of a tower, under the names of both libraries
FINAL = ("ln_post", "proj", "post_layernorm", "projection")


@pytest.fixture(params=KINDS)
def make(request, tiny, tmp_path_factory):
    """Build the engine of a run that trains a part of this tower."""
    spec = vision_language_model(tmp_path_factory.mktemp("towers"), request.param)

    def build(tune, *overrides):
        torch.manual_seed(0)
        return prepared(
            tiny(
                *(f"model.backbone={spec}", f"text.encoder={spec}", "model.gray=false"),
                *(f"model.tune={tune}", "optim.layer_decay=0.5", "optim.name=adamw"),
                *("optim.warmup_epochs=0", *overrides),
            )
        )

    return build


def step(engine):
    """Names in the tower that a step changes, and the names of its blocks."""
    model = engine.task.state.model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    engine.train_step(next(iter(engine.batches.read(engine.batches.order(0)))), Progress())
    changed = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    tower = {name.removeprefix(NET) for name in changed if name.startswith(NET)}
    return tower, list(find_layer_groups(model.backbone.net).blocks)


def rate_scales(engine):
    """Parameter → factor on its learning rate."""
    state = engine.task.state
    names = {id(p): name.removeprefix(NET) for name, p in state.model.named_parameters()}
    return {names[id(p)]: g["lr_scale"] for g in state.optimizer.param_groups for p in g["params"]}


def is_final(name):
    return any(part in FINAL for part in name.split("."))


def test_low_rank_changes_of_each_block_train_and_the_projection(make):
    engine = make("lora", "model.lora={rank: 2}")
    changed, blocks = step(engine)

    low_rank = {name for name in changed if is_lora_parameter(name)}
    rest = changed - low_rank
    assert len(rest) == 1
    assert is_final(rest.pop())
    # a change starts from zero: only its second factor has a gradient in the first step
    ups = {name for name, _ in engine.task.state.model.named_parameters() if "lora_up" in name}
    assert {f"{NET}{name}" for name in low_rank} >= ups
    assert all(any(name.startswith(f"{block}.") for name in low_rank) for block in blocks)

    # a change learns at the rate of its layer
    scales = rate_scales(engine)
    for depth, block in enumerate(reversed(blocks), start=1):
        inside = {s for n, s in scales.items() if n.startswith(f"{block}.")}
        assert inside == {0.5**depth}


def test_the_last_block_trains_and_what_follows_it(make):
    engine = make("last:1")
    changed, blocks = step(engine)

    block = {name for name in changed if name.startswith(f"{blocks[-1]}.")}
    assert all(is_final(name) for name in changed - block)
    assert changed - block
    net = engine.task.state.model.backbone.net
    assert block >= {
        name
        for name, value in net.named_parameters()
        if name.startswith(f"{blocks[-1]}.") and value.ndim > 1
    }
    scales = rate_scales(engine)
    assert {scales[name] for name in changed} == {0.5}
