"""Compiled training: same losses and files, and clear errors for models that cannot be compiled."""

from __future__ import annotations

import shutil

import pytest
import torch

from ke2nt.errors import TrainingError
from ke2nt.models.load import load_model
from ke2nt.training.speed.compile_model import compiled_forward
from ke2nt.training.train_recognizer import train


def needs_compiler() -> None:
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("torch.compile needs a C++ compiler on a CPU")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_compiled_training_gives_the_same_losses(tiny, monkeypatch):
    needs_compiler()
    monkeypatch.setenv("TORCHINDUCTOR_COMPILE_THREADS", "1")
    changes = ("model.dropout=0", "optim.ema=0.9")
    plain = train(tiny(*changes, out="plain"), quiet=True)
    compiled = train(tiny(*changes, "compile=true", out="compiled"), quiet=True)
    for ours, theirs in zip(compiled.progress.records, plain.progress.records, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    names = [set(load_model(r.run.model).state_dict()) for r in (plain, compiled)]
    assert names[0] == names[1]


def test_compile_option_compiles_the_forward_pass(tiny, compile_calls):
    one_epoch = ("optim.epochs=1", "optim.warmup_epochs=0")
    train(tiny(*one_epoch, "compile=true", out="one"), quiet=True)
    assert compile_calls == ["default", 8, 8, 8, 8, 8]
    train(tiny(*one_epoch, out="two"), quiet=True)
    assert len(compile_calls) == 6


def test_failed_compilation_is_a_training_error(tiny, monkeypatch):
    from torch._dynamo.exc import Unsupported

    def compile_(model, **options):
        def forward(images):
            raise Unsupported("no compiler here\nand more")

        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(TrainingError, match=r"cannot be compiled.*no compiler here.*compile=false"):
        train(tiny("compile=true"), quiet=True)


def test_compile_error_without_a_message_is_named(monkeypatch):
    from torch._dynamo.exc import ResetRequired

    def compile_(model, **options):
        def forward(images):
            raise ResetRequired.__new__(ResetRequired)

        return forward

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(TrainingError, match="found ResetRequired"):
        compiled_forward(torch.nn.Identity())(torch.zeros(1))


def test_attention_heads_cannot_be_compiled(tiny):
    with pytest.raises(TrainingError, match=r"attention heads cannot be compiled.*compile=false"):
        train(tiny("compile=true", "model.attention=true"), quiet=True)


def test_compile_refuses_synchronized_batch_norm(tiny, monkeypatch):
    monkeypatch.setattr("ke2nt.training.speed.compile_model.world_size", lambda: 2)
    with pytest.raises(TrainingError, match=r"sync_batch_norm=false"):
        train(tiny("compile=true", out="shared"), quiet=True)
