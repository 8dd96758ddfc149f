"""Which parameters train (`model.tune`), and LoRA against a slow oracle."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.models import group_parameters
from torch import nn

from ke2nt.config.tuning import LoraConfig
from ke2nt.errors import ModelError
from ke2nt.models.layer_groups import find_layer_groups
from ke2nt.models.linear import LinearClassifier
from ke2nt.models.load import load_model
from ke2nt.models.lora import add_lora, is_lora_parameter, lora_layers, merge_lora
from ke2nt.models.timm_models import build_timm_model
from ke2nt.models.tuning import count_parameters, tune_model

IMAGES = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def model_of(backbone: str | nn.Module = "test_vit", **options) -> LinearClassifier:
    torch.manual_seed(0)
    return LinearClassifier(("a", "b"), backbone=backbone, image_size=32, **options)


def trained_names(model: nn.Module) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def changed(net: nn.Module) -> nn.Module:
    """Let the added matrices of a network do something."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in net.named_parameters():
        if name.endswith("lora_up"):
            nn.init.normal_(parameter, std=0.1, generator=generator)
    return net


class FusedBlock(nn.Module):
    """A block with torch's attention, as open_clip's towers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(8)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))

    def forward(self, x):
        y = self.ln_1(x)
        return x + self.mlp(self.attn(y, y, y, need_weights=False)[0])


class FusedTower(nn.Module):
    """Patches, blocks with fused attention, and a projection among the first parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(8))
        self.proj = nn.Parameter(torch.randn(8, 4))
        self.conv1 = nn.Conv2d(3, 8, 8, stride=8)
        self.blocks = nn.ModuleList([FusedBlock(), FusedBlock()])
        self.ln_post = nn.LayerNorm(8)

    def forward(self, images):
        x = self.conv1(images).flatten(2).mT + self.class_embedding
        for block in self.blocks:
            x = block(x)
        return self.ln_post(x.mean(dim=1)) @ self.proj


# ---- layer groups


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "swin_t"])
def test_depths_are_those_of_timm(name):
    with torch.device("meta"):
        net = build_timm_model(
            name,
            image_size=32,
            in_chans=3,
            stem="standard",
            drop_path=None,
            pretrained=False,
            options={},
        )
    numbers = group_parameters(net, net.group_matcher(coarse=False), reverse=True)
    last = max(numbers.values())
    assert find_layer_groups(net).depths() == {n: last - g + 1 for n, g in numbers.items()}


def test_groups_of_a_tower_end_with_its_projection():
    groups = find_layer_groups(FusedTower())
    assert groups.stem == ("class_embedding", "conv1.weight", "conv1.bias")
    assert list(groups.blocks) == ["blocks.0", "blocks.1"]
    assert groups.final == ("ln_post.weight", "ln_post.bias", "proj")
    assert groups.depths()["class_embedding"] == 3


def test_groups_cover_all_parameters_once():
    net = model_of("tf_efficientnet_lite0").backbone.net
    groups = find_layer_groups(net)
    names = [*groups.stem, *groups.last(len(groups.blocks))]
    assert sorted(names) == sorted(name for name, _ in net.named_parameters())
    assert len(names) == len(set(names))


# ---- what trains


def test_last_blocks_train_exactly():
    model = model_of("test_vit2")
    tune_model(model, "last:2")
    net = "backbone.net."
    names = {name for name, _ in model.named_parameters()}
    blocks = max(int(n.split(".")[3]) for n in names if n.startswith(f"{net}blocks."))
    starts = (
        f"{net}blocks.{blocks}.",
        f"{net}blocks.{blocks - 1}.",
        f"{net}fc_norm.",
        "classifier.",
    )
    assert trained_names(model) == {name for name in names if name.startswith(starts)}


def test_last_block_of_a_resnet_trains_exactly():
    model = model_of("test_resnet")
    tune_model(model, "last:1")
    trained = trained_names(model)
    names = {name for name, _ in model.named_parameters()}
    starts = ("backbone.net.layer4.", "classifier.")
    assert trained == {name for name in names if name.startswith(starts)}


def test_norms_and_heads_train_exactly():
    model = model_of("test_resnet", attention={"stages": 2})
    tune_model(model, "head")
    assert trained_names(model) == {
        name for name, _ in model.named_parameters() if not name.startswith("backbone.")
    }
    model = model_of("test_vit")
    tune_model(model, "norms")
    norms = {f"{name}." for name, m in model.named_modules() if isinstance(m, nn.LayerNorm)}
    expected = {
        name for name, _ in model.named_parameters() if name.startswith((*norms, "classifier."))
    }
    assert trained_names(model) == expected


def test_a_tower_without_further_projection_trains_its_own(bank):
    from ke2nt.models.ke2nt import KE2NT

    model = KE2NT(bank, FusedTower(), 32)
    model.projection = nn.Identity()
    tune_model(model, "head")
    assert "backbone.net.proj" in trained_names(model)
    model = KE2NT(bank, FusedTower(), 32)
    tune_model(model, "head")
    assert "backbone.net.proj" not in trained_names(model)


@pytest.mark.parametrize("tune", ["head", "norms", "last:1", "lora"])
def test_frozen_parameters_and_statistics_do_not_change(tune):
    model = model_of("test_resnet")
    # timm starts the last normalization of a block at 0, which stops the gradient
    for name, parameter in model.named_parameters():
        if "bn" in name and name.endswith("weight"):
            nn.init.ones_(parameter)
    tune_model(model, tune)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained = trained_names(model)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)

    model.eval().train()
    for _ in range(3):
        optimizer.zero_grad()
        model(IMAGES).logits.square().sum().backward()
        optimizer.step()

    moved = {n for n, value in model.state_dict().items() if not torch.equal(value, before[n])}
    statistics = {n for n in moved if n not in dict(model.named_parameters())}
    assert moved - statistics == trained
    owners = {name.rpartition(".")[0] for name in trained}
    assert {name.rpartition(".")[0] for name in statistics} <= owners
    assert bool(statistics) == (tune in ("norms", "last:1"))


def test_counts_are_stated():
    model = model_of()
    full = count_parameters(model, "full")
    assert full.trained == full.total == sum(p.numel() for p in model.parameters())
    assert full.describe() == "trains all 0.3 million parameters"
    tune_model(model, "head")
    head = count_parameters(model, "head")
    assert head.to_dict() == {"tune": "head", "trained": 64 * 2 + 2, "total": full.total}
    assert "(0.043 %): model.tune=head" in head.describe()
    assert "stay random" in head.describe(random=True)


# ---- LoRA


@pytest.mark.parametrize("backbone", ["test_vit", "test_resnet"])
def test_lora_begins_as_the_base_and_merges(backbone, tmp_path):
    model = model_of(backbone).eval()
    expected = model(IMAGES).logits
    tune_model(model, "lora", LoraConfig(rank=3, alpha=6.0))
    assert torch.equal(model(IMAGES).logits, expected)

    # after training, the saved folder is that of an ordinary model
    changed(model)
    logits = model(IMAGES).logits
    assert not torch.allclose(logits, expected, atol=1e-3)
    model.save_pretrained(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert loaded.state_dict().keys() == model_of(backbone).state_dict().keys()
    torch.testing.assert_close(loaded(IMAGES).logits, logits, rtol=1e-5, atol=1e-5)


def test_every_lora_parameter_gets_the_gradient_of_the_oracle():
    """W + s B A written out in double precision, by torch.func on the network without LoRA."""
    net = FusedTower().double().eval()
    plain = copy.deepcopy(net)
    names = add_lora(net, IMAGES.double(), rank=2, alpha=3.0, within=["blocks.0", "blocks.1"])
    kinds = ("attn.in_proj", "attn.out_proj", "mlp.0", "mlp.2")
    assert names == [f"blocks.{block}.{kind}" for block in (0, 1) for kind in kinds]
    changed(net)
    factors = {n: p for n, p in net.named_parameters() if is_lora_parameter(n)}
    net(IMAGES.double()).square().sum().backward()

    # oracle: each entry of B A as an explicit sum
    copies = {n: p.detach().clone().requires_grad_() for n, p in factors.items()}
    matrices = dict(plain.named_parameters())
    for name, layer in lora_layers(net).items():
        down, up = copies[f"{name}.lora_down"], copies[f"{name}.lora_up"]
        product = sum(up[:, r, None] * down[r] for r in range(2))
        key = f"{name}.{layer.lora_matrix}"
        matrices[key] = matrices[key].detach() + 1.5 * product
    output = torch.func.functional_call(plain, matrices, IMAGES.double())
    torch.testing.assert_close(net(IMAGES.double()), output)
    output.square().sum().backward()
    for name, parameter in factors.items():
        torch.testing.assert_close(parameter.grad, copies[name].grad)


def test_lora_of_a_strided_convolution_is_that_of_its_kernel():
    net = nn.Sequential(nn.Conv2d(3, 5, 3, stride=2, padding=1)).double()
    add_lora(net, IMAGES.double(), rank=2, alpha=2.0)
    conv = changed(net)[0]
    down, up = conv.lora_down, conv.lora_up
    kernel = conv.weight.detach().clone()
    for out in range(5):
        for rank in range(2):
            kernel[out] += (up[out, rank, 0, 0] * down[rank]).detach()
    expected = nn.functional.conv2d(IMAGES.double(), kernel, conv.bias, stride=2, padding=1)
    torch.testing.assert_close(net(IMAGES.double()), expected)
    merged = merge_lora(net, net.state_dict())
    torch.testing.assert_close(merged["0.weight"], kernel)


def test_lora_reaches_a_matrix_that_is_read_without_a_call():
    """Attention of EVA reads the matrix of `qkv` beside biases of its own."""
    eva, options = "eva02_tiny_patch14_224", {"depth": 1, "patch_size": 16, "embed_dim": 96}
    net = model_of(eva, backbone_options=options).backbone.net
    add_lora(net, IMAGES, rank=1, alpha=1.0, targets=["qkv"])
    changed(net).train()(IMAGES).square().sum().backward()
    assert net.blocks[0].attn.qkv.lora_up.grad.abs().sum() > 0
    plain = model_of(eva, backbone_options=options).backbone.net
    plain.load_state_dict(merge_lora(net, net.state_dict()))
    torch.testing.assert_close(plain.eval()(IMAGES), net.eval()(IMAGES), rtol=1e-4, atol=1e-4)


def test_targets_choose_layers_and_dropout_acts_in_training():
    model = model_of()
    tune_model(model, "lora", LoraConfig(targets=("qkv", "attn.proj"), dropout=0.5))
    names = {name.rpartition(".")[2] for name in lora_layers(model)}
    assert names == {"qkv", "proj"}
    changed(model).eval()
    assert torch.equal(model(IMAGES).logits, model(IMAGES).logits)
    model.train()
    assert not torch.equal(model(IMAGES).logits, model(IMAGES).logits)


def test_a_copy_with_lora_stands_alone():
    net = changed(FusedTower().eval())
    add_lora(net, IMAGES, rank=1, alpha=1.0)
    twin = copy.deepcopy(net)
    changed(net)
    assert not torch.allclose(net(IMAGES), twin(IMAGES))


# ---- impossible values


@pytest.mark.parametrize(
    ("backbone", "tune", "lora", "message"),
    [
        ("test_vit", "last:99", None, r"fewer blocks; expected last:1 to last:6.*found last:99"),
        ("test_vit", "lora", {"targets": ("qvk",)}, r"named 'qvk'.*fc1, fc2, proj, qkv"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten()),
            "last:1",
            None,
            r"blocks of this encoder are not known",
        ),
    ],
)
def test_impossible_values_are_refused(backbone, tune, lora, message):
    model = model_of(backbone)
    with pytest.raises(ModelError, match=message):
        tune_model(model, tune, None if lora is None else LoraConfig(**lora))
