"""Every shipped configuration loads; wrong keys, values and files give one clear error."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ke2nt.adapt.methods import resolve_part_weights
from ke2nt.config.adapt import AdaptConfig, AdaptSection
from ke2nt.config.gan import FesganConfig
from ke2nt.config.load import config_from_dict, config_to_yaml, load_config
from ke2nt.config.schema import OptimConfig, TrainConfig
from ke2nt.errors import ConfigError, Ke2ntError
from ke2nt.resources import list_resources
from ke2nt.training.optimizer import learning_rate

SHIPPED = list_resources("configs")


def schema(name: str) -> type[TrainConfig]:
    """Return the configuration class of a shipped file."""
    sections = yaml.safe_load(SHIPPED[name].read_text())
    if "adapt" in sections:
        return AdaptConfig
    return FesganConfig if "gan" in sections else TrainConfig


def test_the_configurations_that_the_readme_names_ship():
    assert set(SHIPPED) >= {
        "quickstart",
        "ferplus_resnet18",
        "ferplus_swin_t",
        "rafdb_resnet18",
        "rafdb_swin_t",
        "affectnet7",
        "ckplus",
        "adapt",
        "dmsrl_drawn_to_ferplus",
        "dmsrl_photo_to_sketch",
    }


def test_the_published_run_of_fesgan():
    config = load_config("fesgan_published", kind=FesganConfig, command="gan train")
    gan, joint, optim = config.gan, config.joint, config.optim
    assert (gan.network.code_dim, gan.network.conditioning, gan.network.expression) == (
        *(64, "concat", "head"),
    )
    loss = gan.loss
    assert (loss.adversary, loss.adversarial, loss.code, loss.reconstruction) == (
        "wgan-gp",
        1,
        1,
        10,
    )
    assert (loss.identity, loss.expression, loss.code_expression) == (5, 1, 0)
    assert (gan.optim.batch_size, gan.optim.critic_steps) == (16, 4)
    assert (optim.batch_size, joint.every, config.gan_size) == (16, 4, 128)
    rates = (gan.optim.lr, gan.optim.critic_lr, optim.lr, joint.lr)
    assert set(rates) == {1e-4}
    assert gan.optim.betas == optim.betas == (0.5, 0.999)
    assert optim.weight_decay == 0
    assert (gan.optim.epochs, gan.optim.epochs + optim.epochs) == (80, 200)
    assert (joint.weight, joint.intra_class, joint.rdbp) == (0.001, 1, True)
    assert gan.identity_space == "auto"
    assert config.data.options["neutral"] is False


def test_the_published_run_of_ke2nt():
    config = load_config("rafdb_swin_t")
    model, optim = config.model, config.optim
    assert (model.backbone, model.image_size, model.projection) == ("swin_t", 112, "neck")
    assert model.backbone_options == {"drop_path_rate": 0.1}
    assert model.min_match is None
    assert (optim.name, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", 0.002, 0.9, 5e-4)
    assert optim.decay_all
    assert (optim.batch_size, optim.epochs, config.seed) == (64, 50, 29)
    assert (optim.warmup, optim.warmup_epochs, optim.warmup_lr) == ("constant", 1, 1e-4)
    assert [learning_rate(step, 10, optim) for step in (0, 9, 10)] == [1e-4, 1e-4, 0.002]
    assert config.text.encoder == "open_clip:ViT-B-16/openai"
    loss = config.loss
    assert (loss.similarity, loss.transformation, loss.self_contrast, loss.pairing) == (
        *(1, 1, 1),
        "batch",
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_is_valid_and_has_a_header(name):
    config = load_config(name, (), schema(name))
    assert load_config(SHIPPED[name], (), schema(name)) == config
    head = SHIPPED[name].read_text(encoding="utf-8").splitlines()[:3]
    assert head[0].startswith("# Command:")
    assert f" {name}" in head[0] or name in ("quickstart", "adapt")
    assert head[1].startswith("# Hardware:")
    assert head[2].startswith("# Score:")


def test_dmsrl_as_published_has_the_published_settings():
    config = load_config("dmsrl_published", (), AdaptConfig)
    optim, method = config.optim, config.adapt
    assert (optim.name, optim.lr, optim.nesterov, optim.epochs) == ("sgd", 0.01, True, 60)
    assert (optim.schedule, optim.step_epochs, optim.step_factor) == ("steps", 30, 0.1)
    assert (optim.batch_size, optim.warmup_epochs) == (64, 0)
    assert resolve_part_weights(method) == {"metric": 0.01, "adversarial": 0.01}
    assert (method.margin, method.domain_weight, method.center_lr) == (100, 0.01, 1.0)
    assert (method.ramp, method.reversal_ramp, method.centers) == (10, 10_000, "learned")
    assert (method.threshold, method.balance, method.teacher) == (0, 0, "model")
    assert (method.batch_norm, method.train_source) == ("separate", False)
    assert config.model.backbone_options == {"regions": "learned"}

    # the method by itself normalizes as published, too
    defaults = {name: AdaptSection(method=name).normalization for name in ("dmsrl", "dann")}
    assert defaults == {"dmsrl": "separate", "dann": "joint"}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_resolved_configuration_reads_back_equal(name):
    config = load_config(name, (), schema(name))
    assert config_from_dict(yaml.safe_load(config_to_yaml(config)), schema(name)) == config


def test_the_published_run_has_the_published_settings():
    config = load_config("rafdb_swin_t")
    assert (config.seed, config.model.backbone, config.model.image_size) == (29, "swin_t", 112)
    assert config.text.encoder == "open_clip:ViT-B-16/openai"
    optim = config.optim
    assert (optim.name, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", 0.002, 0.9, 5e-4)
    assert (optim.batch_size, optim.epochs, optim.warmup_epochs, optim.warmup_lr) == (
        64,
        50,
        1,
        1e-4,
    )
    loss = config.loss
    assert (loss.similarity, loss.transformation, loss.self_contrast) == (1, 1, 1)
    assert loss.pairing == "batch"
    assert config.select.on == "validation"


def test_overrides_reach_into_sections_and_are_typed():
    config = load_config(
        "quickstart", ["optim.lr=0.5", "data.root=/x/y", "data.options.count=40", "model.gray=true"]
    )
    assert config.optim.lr == 0.5
    assert config.data.root == "/x/y"
    assert config.data.options["count"] == 40
    assert config.data.options["seed"] == 7  # the file's other options stay
    assert config.model.gray is True


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optim.learning_rte=1", ["unknown key optim.learning_rte"]),
        ("optim.weight_deca=1", ["did you mean optim.weight_decay"]),
        ("optm.lr=1", ["unknown key optm", "did you mean optim"]),
        ("optim.lr=fast", ["optim.lr", "'fast'"]),
        ("optim.lr=-1", ["optim.lr", "-1"]),
        ("optim.lr=.nan", ["optim.lr"]),
        ("optim.lr", ["key=value"]),
        ("optim..lr=1", ["key=value"]),
        ("seed.deep=1", ["plain value"]),
        ("optim.lr={", ["not valid YAML"]),
        ("optim.warmup_epochs=-1", ["optim.warmup_epochs", "-1"]),
        ("augment.erase_area=[0.5,0.1]", ["erase_area"]),
    ],
)
def test_a_wrong_override_says_what_is_wrong(override, words):
    with pytest.raises(ConfigError) as caught:
        load_config("quickstart", [override])
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_has_a_schedule_of_one_epoch(name):
    """A trial run: the learning rate leaves its warm-up, and the only epoch is evaluated."""
    optim = load_config(name, ["optim.epochs=1"], schema(name)).optim
    rates = [learning_rate(step, 10, optim) for step in range(11)]
    assert max(rates) == pytest.approx(optim.lr)
    # a schedule of steps keeps its rate until the first step
    assert rates[10] == pytest.approx(optim.min_lr if optim.schedule == "cosine" else optim.lr)
    assert optim.warmup_epochs < optim.epochs
    longer = load_config(name, [], schema(name)).optim
    assert longer.warmup_epochs <= longer.epochs / 2  # nothing is shortened where there is room


def test_a_warmup_of_all_epochs_is_shortened_to_half_of_them():
    for epochs, warmup, expected in ((4, 3.5, 3.5), (4, 4, 2), (4, 99, 2), (1, 1, 0.5), (1, 0, 0)):
        config = OptimConfig(epochs=epochs, warmup_epochs=warmup)
        assert config.warmup_epochs == expected
    assert OptimConfig(epochs=1).warmup_epochs == 0.5


def test_another_dataset_drops_what_belongs_to_the_one_of_the_file():
    data = load_config("ferplus_resnet18", ["data.name=folder", "data.root=DIR"]).data
    assert (data.options, data.train_split, data.val_split) == ({}, "train", "auto")
    assert data.soft_labels  # no option of a reader

    # what is set beside the name stays, and so does everything with the same name
    changes = ["data.options.classes=[a, b]", "data.name=folder", "data.val_split=null"]
    data = load_config("ferplus_resnet18", changes).data
    assert (data.options, data.val_split) == ({"classes": ["a", "b"]}, None)
    same = load_config("ferplus_resnet18", ["data.name=ferplus"]).data
    assert same == load_config("ferplus_resnet18").data
    assert load_config("affectnet7", ["data.name=packed"]).data.val_split is None


def test_unknown_key_of_a_nested_section_is_named():
    with pytest.raises(ConfigError, match=r"did you mean gan\.optim\.epochs"):
        load_config("fesgan_drawn", ["gan.optim.epocs=3"], FesganConfig)


def test_gan_defaults_are_the_published_ones():
    loss, optim = FesganConfig().gan.loss, FesganConfig().gan.optim
    assert (loss.adversary, loss.adversarial, loss.code) == ("wgan-gp", 1, 1)
    assert (loss.reconstruction, loss.identity, loss.expression) == (10, 5, 1)
    assert (optim.lr, optim.betas, optim.critic_steps) == (1e-4, (0.5, 0.999), 4)
    assert FesganConfig().gan.network.code_dim == 64


def test_linear_head_uses_only_cross_entropy():
    config = load_config("ferplus_resnet18", ["model.head=linear"])
    assert (config.loss.transformation, config.loss.self_contrast) == (0.0, 0.0)
    assert config.loss.similarity == 1.0


def test_an_unknown_name_lists_the_shipped_ones():
    with pytest.raises(ConfigError, match="ferplus_resnet18"):
        load_config("ferplus_resnet19")


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "1: 2\n", "'just text'\n"])
def test_a_broken_file_is_one_clear_error(tmp_path, text):
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError):
        load_config(path)


def test_a_binary_file_is_one_clear_error(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(path)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(["seed", "data", "optim", "model", "loss", "text", "augment", "x"]), PLAIN
    )
)
def test_any_values_give_a_configuration_or_our_error(value):
    with contextlib.suppress(Ke2ntError):
        config_from_dict(value)
