"""A step as a CUDA graph: the same training, and clear errors where it is not possible."""

from __future__ import annotations

import pytest
import torch

from ke2nt.errors import TrainingError
from ke2nt.models.load import load_model
from ke2nt.training.speed.cuda_graph import SingleCopy, StepGraph, resolve_cuda_graphs
from ke2nt.training.train_recognizer import train

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

CHANGES = {
    "plain": ("optim.ema=0.9", "augment.rotate=10"),
    "mixed": ("augment.mixup=0.4", "augment.cutmix=1.0"),
    "scaled": ("text.logit_scale_start=5", "text.logit_scale_epochs=1", "model.dropout=0"),
    "linear": ("model.head=linear", "model.dropout=0"),
}


class Called:
    """Stands in for a graph: calls the work each time."""

    def __init__(self, work, device):
        self.work = work

    def __call__(self, *inputs):
        return self.work(*inputs)


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_recorded_work_depends_on_its_tensors_only(tiny, monkeypatch, changes):
    plain = train(tiny(*changes, out="plain"), quiet=True)
    monkeypatch.setattr("ke2nt.training.speed.cuda_graph.StepGraph", Called)
    other = train(tiny(*changes, "cuda_graphs=true", out="other"), quiet=True)
    for ours, theirs in zip(other.progress.records, plain.progress.records, strict=True):
        assert ours["loss"] == theirs["loss"]
    mine, its = (load_model(r.run.model).state_dict() for r in (other, plain))
    assert all(torch.equal(mine[name], its[name]) for name in its)


def test_cuda_graph_needs_a_cuda_device(tiny):
    with pytest.raises(TrainingError, match=r"CUDA graphs need a CUDA device.*cuda_graphs=false"):
        train(tiny("cuda_graphs=true", "device=cpu"), quiet=True)


def test_cuda_graph_needs_one_process(tiny, monkeypatch):
    monkeypatch.setattr("ke2nt.training.gradients.world_size", lambda: 2)
    with pytest.raises(TrainingError, match=r"2 process.*cuda_graphs=false"):
        train(tiny("cuda_graphs=true"), quiet=True)


@pytest.mark.parametrize(
    ("setting", "device", "supported", "recorded"),
    [
        (True, "cpu", True, True),
        (False, "cuda", True, False),
        ("auto", "cuda", True, True),
        ("auto", "cuda", False, False),
        ("auto", "cpu", True, False),
    ],
)
def test_auto_records_only_where_it_can(setting, device, supported, recorded):
    assert resolve_cuda_graphs(setting, torch.device(device), supported=supported) is recorded


@needs_cuda
@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_replay_gives_the_same_losses(tiny, changes):
    changes = (*changes, "device=cuda", "model.dropout=0")
    plain = train(tiny(*changes, out="plain"), quiet=True)
    other = train(tiny(*changes, "cuda_graphs=true", out="other"), quiet=True)
    for ours, theirs in zip(other.progress.records, plain.progress.records, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=2e-3)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_single_copy_moves_tensors_in_one_piece(device):
    def values(seed):
        draw = torch.Generator().manual_seed(seed)
        return [
            torch.rand(5, generator=draw) < 0.5,
            torch.rand(3, 2, generator=draw).T,
            torch.rand(7, 3, generator=draw, dtype=torch.float64)[1::2],
            torch.randint(9, (0, 2), generator=draw),
            torch.randint(9, (2,), generator=draw),
        ]

    copy = SingleCopy(values(0), torch.device(device))
    first = copy(values(1))
    assert len({x.untyped_storage().data_ptr() for x in first}) == 1
    for seed in (1, 2):
        found = copy(values(seed))
        assert all(a.data_ptr() == b.data_ptr() for a, b in zip(found, first, strict=True))
        for mine, given in zip(found, values(seed), strict=True):
            assert mine.dtype == given.dtype
            assert torch.equal(mine.cpu(), given)


@needs_cuda
def test_replay_handles_new_inputs_and_sizes_and_leaves_gradients():
    weight = torch.ones(3, device="cuda", requires_grad=True)

    def work(x, factor):
        weight.grad = None
        loss = (x * weight).sum() * factor.to("cuda")
        loss.backward()
        return [loss.detach()]

    step = StepGraph(work, torch.device("cuda"))
    for i, count in enumerate([4, 4, 4, 4, 4, 4, 2, 4, 4], start=1):
        (loss,) = step(torch.full((count, 3), float(i), device="cuda"), torch.tensor(2.0 * i))
        assert loss.item() == 6 * count * i**2
        assert weight.grad.tolist() == [2.0 * count * i**2] * 3


@needs_cuda
def test_run_with_images_on_the_device_finishes(tiny):
    result = train(tiny("device=cuda", "data.memory=device", "cuda_graphs=true"), quiet=True)
    assert result.run.read("run.json")["status"] == "finished"
    assert (result.run.path / "report.html").is_file()
