"""Which parameters each term of the game moves, and which it must not."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from ke2nt.config.gan import GanConfig
from ke2nt.generation.gan_objective import Game, frozen, make_critics
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.identity_features import FrozenFeatures
from ke2nt.generation.random_draws import draw
from ke2nt.models.linear import LinearClassifier

CLASSES = ("neutral", "happiness", "anger")
TERMS = (
    "adversarial",
    "code",
    "code_expression",
    "reconstruction",
    "identity",
    "expression",
)
NO_CHANGE = {"flip": 0, "crop": 0, "translate": 0}


def make(weights=None, *, adversary="hinge", expression="head", identity="code", augment=NO_CHANGE):
    """A game in which only the named terms count."""
    torch.manual_seed(0)
    values = dict.fromkeys(TERMS, 0.0) if weights is not None else {}
    config = GanConfig.model_validate(
        {
            "network": {
                "width": 4,
                "critic_width": 4,
                "code_dim": 8,
                "expression": expression,
            },
            "loss": {**values, **(weights or {}), "adversary": adversary},
            "critic_augment": augment,
        }
    )
    generator = FaceGenerator(CLASSES, 16, 1, width=4, code_dim=8)
    space = None
    if identity == "recognizer":
        space = FrozenFeatures(LinearClassifier(CLASSES, "test_resnet", 16), stage=1)
    return Game(config, generator, make_critics(config, generator), space)


def draws(seed=0, count=6):
    generator = torch.Generator().manual_seed(seed)
    return draw(count, torch.ones(3), 8, generator, torch.device("cpu"))


def moved(module):
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


GENERATOR_TERMS = {  # term: (encoder moves, decoder moves)
    "adversarial": (True, True),
    "code": (True, False),
    "code_expression": (True, False),
    "reconstruction": (True, True),
    "identity": (True, True),
    "expression": (True, True),
}


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("identity", ["code", "recognizer"])
def test_a_generator_term_moves_the_generator_and_nothing_else(term, identity, batch):
    game = make({term: 1.0}, expression="own", identity=identity)
    total, parts = game.generator_loss(*batch, draws())
    total.backward()
    encoder, decoder = GENERATOR_TERMS[term]
    assert moved(game.generator.encoder) is encoder
    assert moved(game.generator.decoder) is decoder
    assert not moved(game.critics)
    assert all(p.requires_grad for p in game.critics.parameters())
    if identity == "recognizer":
        assert not moved(game.identity)
    assert total.item() == pytest.approx(parts[term].item(), rel=1e-5)
    assert not any(part.requires_grad for part in parts.values())


CRITIC_TERMS = {  # term: (image critic, code critic, expression network)
    "adversarial": (True, False, False),
    "code": (False, True, False),
    "code_expression": (False, True, False),
    "expression": (False, False, True),
}


@pytest.mark.parametrize("term", CRITIC_TERMS)
@pytest.mark.parametrize("adversary", ["wgan-gp", "hinge", "r1"])
def test_a_critic_term_moves_its_critic_and_not_the_generator(term, adversary, batch):
    game = make({term: 1.0}, adversary=adversary, expression="own")
    game.critic_loss(*batch, draws())[0].backward()
    found = (game.critics.image, game.critics.code, game.critics.expression)
    assert tuple(map(moved, found)) == CRITIC_TERMS[term]
    assert not moved(game.generator)


def test_without_a_network_of_its_own_the_image_critic_names_the_expression(batch):
    game = make({"expression": 1.0})
    game.critic_loss(*batch, draws())[0].backward()
    assert moved(game.critics.image.expression)
    assert moved(game.critics.image.body)
    assert not moved(game.critics.image.score)


def test_every_parameter_of_both_sides_learns_with_the_papers_weights(batch):
    game = make(adversary="wgan-gp")
    game.generator_loss(*batch, draws())[0].backward()
    assert all(p.grad.abs().sum() > 0 for p in game.generator.parameters())
    game.critic_loss(*batch, draws())[0].backward()
    still = [n for n, p in game.critics.named_parameters() if p.grad.abs().sum() == 0]
    assert still == ["code.expression.weight", "code.expression.bias"]  # not in the paper's line


def test_an_edit_is_asked_for_the_expression_it_is_edited_to(batch):
    """The published re-implementation confuses it with the source's."""
    game = make({"expression": 1.0})
    game.generator.eval()
    faces, labels = batch
    drawn = draws()
    _, parts = game.generator_loss(faces, labels, drawn)
    with torch.no_grad():
        edits = game.generator(faces, drawn.edits)
        new = game.generator.decode(drawn.codes, drawn.expressions)
        logits = game.critics.image.eval()(torch.cat([edits, new])).expressions
    wanted = torch.cat([drawn.edits, drawn.expressions])
    assert parts["expression"].item() == pytest.approx(
        functional.cross_entropy(logits, wanted).item(), rel=0.05
    )
    assert not torch.equal(drawn.edits, labels)


def test_reconstruction_uses_the_faces_own_expression(batch):
    game = make({"reconstruction": 1.0})
    game.generator.eval()
    faces, labels = batch
    _, parts = game.generator_loss(faces, labels, draws())
    own = (game.generator(faces, labels) - faces).abs().mean()
    other = (game.generator(faces, (labels + 1) % 3) - faces).abs().mean()
    assert parts["reconstruction"].item() == pytest.approx(own.item(), rel=1e-5)
    assert parts["reconstruction"].item() != pytest.approx(other.item(), rel=1e-5)


def test_the_expression_term_climbs(batch):
    game = make({"expression": 1.0})
    whole, _ = game.generator_loss(*batch, draws())
    game.expression_strength = 0.25
    part, _ = game.generator_loss(*batch, draws())
    assert part.item() == pytest.approx(whole.item() / 4, rel=0.05)


def test_the_gap_is_what_the_critic_tells_apart(batch):
    game = make(adversary="wgan-gp")
    _, parts = game.critic_loss(*batch, draws())
    assert parts["gap"].item() == pytest.approx(-parts["critic"].item(), rel=1e-5)


def test_the_critic_sees_real_and_synthetic_faces_changed_alike(batch):
    """Both pass the augmentation, and the generator's gradient passes it, too."""
    shift = {**NO_CHANGE, "translate": 0.3, "fill": "border"}
    game = make({"adversarial": 1.0}, augment=shift)
    seen = []
    game.critics.image.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    game.critic_loss(*batch, draws())
    assert not torch.allclose(seen[0][:6], batch[0])
    game.generator_loss(*batch, draws())[0].backward()
    assert moved(game.generator.decoder)
    plain = make({"adversarial": 1.0})
    plain.critics.image.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    plain.critic_loss(*batch, draws())
    torch.testing.assert_close(seen[-1][:6], batch[0])


def test_frozen_gives_back_what_it_took():
    layer = torch.nn.Linear(2, 2)
    layer.bias.requires_grad_(False)
    with frozen(layer):
        assert not layer.weight.requires_grad
    assert layer.weight.requires_grad
    assert not layer.bias.requires_grad


def test_draws_follow_seed_and_weights():
    a, b, c = draws(1, 400), draws(1, 400), draws(2, 400)
    assert torch.equal(a.codes, b.codes)
    assert not torch.equal(a.codes, c.codes)
    skewed = draw(400, torch.tensor([0.0, 3, 1]), 8, torch.Generator(), torch.device("cpu"))
    counts = skewed.edits.bincount(minlength=3)
    assert counts[0] == 0
    assert 240 < counts[1] < 360
