"""Which parameters each loss term trains, and which it must not."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from ke2nt.config.gan import GanConfig
from ke2nt.generation.build_networks import build_critics
from ke2nt.generation.gan_draws import sample_gan_draws
from ke2nt.generation.gan_objective import GanObjective, frozen
from ke2nt.generation.networks.generator import FaceGenerator
from ke2nt.generation.networks.identity_features import FrozenFeatures
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


def make(
    weights=None,
    *,
    adversary="hinge",
    expression="head",
    identity="code",
    augment=NO_CHANGE,
    channels=1,
):
    """An objective in which only the named terms have a weight."""
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
    generator = FaceGenerator(CLASSES, 16, channels, width=4, code_dim=8)
    space = None
    if identity == "recognizer":
        space = FrozenFeatures(LinearClassifier(CLASSES, "test_resnet", 16), stage=1)
    return GanObjective(config, generator, build_critics(config, generator), space)


def draws(seed=0, count=6):
    generator = torch.Generator().manual_seed(seed)
    return sample_gan_draws(count, torch.ones(3), 8, generator, torch.device("cpu"))


def has_gradient(module):
    return any(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


GENERATOR_TERMS = {  # term: (encoder is trained, decoder is trained)
    "adversarial": (True, True),
    "code": (True, False),
    "code_expression": (True, False),
    "reconstruction": (True, True),
    "identity": (True, True),
    "expression": (True, True),
}


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("identity", ["code", "recognizer"])
def test_generator_term_trains_only_the_generator(term, identity, batch):
    objective = make({term: 1.0}, expression="own", identity=identity)
    total, parts = objective.generator_loss(*batch, draws())
    total.backward()
    encoder, decoder = GENERATOR_TERMS[term]
    assert has_gradient(objective.generator.encoder) is encoder
    assert has_gradient(objective.generator.decoder) is decoder
    assert not has_gradient(objective.critics)
    assert all(p.requires_grad for p in objective.critics.parameters())
    if identity == "recognizer":
        assert not has_gradient(objective.identity)
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
def test_critic_term_trains_only_its_critic(term, adversary, batch):
    objective = make({term: 1.0}, adversary=adversary, expression="own")
    objective.critic_loss(*batch, draws())[0].backward()
    critics = (objective.critics.image, objective.critics.code, objective.critics.expression)
    assert tuple(map(has_gradient, critics)) == CRITIC_TERMS[term]
    assert not has_gradient(objective.generator)


def test_image_critic_classifies_expressions_by_default(batch):
    objective = make({"expression": 1.0})
    objective.critic_loss(*batch, draws())[0].backward()
    assert has_gradient(objective.critics.image.expression)
    assert has_gradient(objective.critics.image.body)
    assert not has_gradient(objective.critics.image.score)


def test_every_parameter_is_trained_with_the_published_weights(batch):
    objective = make(adversary="wgan-gp")
    objective.generator_loss(*batch, draws())[0].backward()
    assert all(p.grad.abs().sum() > 0 for p in objective.generator.parameters())
    objective.critic_loss(*batch, draws())[0].backward()
    still = [n for n, p in objective.critics.named_parameters() if p.grad.abs().sum() == 0]
    assert still == ["code.expression.weight", "code.expression.bias"]  # not in the paper's line


def test_requested_expression_of_an_edit_is_its_goal(batch):
    """The published re-implementation uses that of the source instead."""
    objective = make({"expression": 1.0})
    objective.generator.eval()
    faces, labels = batch
    drawn = draws()
    _, parts = objective.generator_loss(faces, labels, drawn)
    with torch.no_grad():
        edits = objective.generator(faces, drawn.edit_expressions)
        new = objective.generator.decode(drawn.codes, drawn.new_expressions)
        logits = objective.critics.image.eval()(torch.cat([edits, new])).expressions
    requested = torch.cat([drawn.edit_expressions, drawn.new_expressions])
    assert parts["expression"].item() == pytest.approx(
        functional.cross_entropy(logits, requested).item(), rel=0.05
    )
    assert not torch.equal(drawn.edit_expressions, labels)


def test_reconstruction_uses_the_expression_of_the_face(batch):
    objective = make({"reconstruction": 1.0})
    objective.generator.eval()
    faces, labels = batch
    _, parts = objective.generator_loss(faces, labels, draws())
    same = (objective.generator(faces, labels) - faces).abs().mean()
    other = (objective.generator(faces, (labels + 1) % 3) - faces).abs().mean()
    assert parts["reconstruction"].item() == pytest.approx(same.item(), rel=1e-5)
    assert parts["reconstruction"].item() != pytest.approx(other.item(), rel=1e-5)


def test_strength_scales_the_expression_term(batch):
    objective = make({"expression": 1.0})
    whole, _ = objective.generator_loss(*batch, draws())
    part, _ = objective.generator_loss(*batch, draws(), expression_strength=0.25)
    assert part.item() == pytest.approx(whole.item() / 4, rel=0.05)


def test_gap_is_the_difference_of_critic_scores(batch):
    objective = make(adversary="wgan-gp")
    _, parts = objective.critic_loss(*batch, draws())
    assert parts["gap"].item() == pytest.approx(-parts["critic"].item(), rel=1e-5)


def test_critic_augmentation_applies_to_real_and_synthetic_faces(batch):
    """Both are augmented, and the gradient of the generator passes through the augmentation."""
    shift = {**NO_CHANGE, "translate": 0.3, "fill": "border"}
    objective = make({"adversarial": 1.0}, augment=shift)
    views = []
    objective.critics.image.register_forward_pre_hook(
        lambda _, args: views.append(args[0].detach())
    )
    objective.critic_loss(*batch, draws())
    assert not torch.allclose(views[0][:6], batch[0])
    objective.generator_loss(*batch, draws())[0].backward()
    assert has_gradient(objective.generator.decoder)
    plain = make({"adversarial": 1.0})
    plain.critics.image.register_forward_pre_hook(lambda _, args: views.append(args[0].detach()))
    plain.critic_loss(*batch, draws())
    torch.testing.assert_close(views[-1][:6], batch[0])


@pytest.mark.parametrize("channels", [1, 3])
def test_cutout_and_color_of_critics_are_differentiable(channels):
    """Gradients pass wherever a face is not covered, for real and synthetic faces in one way."""
    changes = {**NO_CHANGE, "erase": 1.0, "brightness": 0.3, "contrast": 0.3}
    objective = make({"adversarial": 1.0}, augment=changes, channels=channels)
    faces = (torch.rand(6, channels, 16, 16) - 0.5).requires_grad_()
    view = objective._augment_view(faces, draws())
    assert view.shape == faces.shape
    view.sum().backward()
    covered = (view == 0).all(dim=1)
    assert 0.1 <= covered.float().mean() <= 0.3
    assert (view.detach() - faces.detach()).abs().amax(dim=1)[~covered].min() > 0

    # the mean that contrast keeps depends on covered pixels, too, but little
    slopes = faces.grad.abs().amin(dim=1)
    assert slopes[~covered].min() > slopes[covered].max()


def test_code_critic_compares_the_prior_with_encoded_faces(batch):
    """Half of the loss without the other trains a critic that says the same of every code."""
    objective = make({"code": 1.0})
    objective.generator.eval()
    faces, labels = batch
    drawn = draws()
    loss, _ = objective.critic_loss(faces, labels, drawn)
    with torch.no_grad():
        prior = objective.critics.code(drawn.codes).scores
        encoded = objective.critics.code(objective.generator.encode(faces)).scores
    halves = functional.softplus(-prior).mean(), functional.softplus(encoded).mean()
    assert loss.item() == pytest.approx(float(sum(halves)) / 2, rel=1e-5)


def test_frozen_restores_requires_grad():
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
    skewed = sample_gan_draws(
        400, torch.tensor([0.0, 3, 1]), 8, torch.Generator(), torch.device("cpu")
    )
    counts = skewed.edit_expressions.bincount(minlength=3)
    assert counts[0] == 0
    assert 240 < counts[1] < 360
