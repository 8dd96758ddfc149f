"""timm and torchvision are imported without torch's compiler, which still works afterwards."""

from __future__ import annotations

from command_line import run_python


def test_the_compiler_is_loaded_when_it_is_called():
    run_python("""
        import sys, torch
        from ke2nt.models.timm_models import is_timm_name

        assert is_timm_name("resnet18") and not is_timm_name("resnet18_of_mine")
        assert "torch._dynamo" not in sys.modules and "torch._dynamo.utils" not in sys.modules

        import torchvision
        boxes = [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
        pooled = torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2)
        assert torch.equal(pooled, torch.ones(1, 1, 2, 2))

        @torch.compile(backend="eager")
        def double(x):
            return 2 * x
        assert double(torch.ones(2)).sum() == 4
        assert "torch._dynamo.utils" in sys.modules
    """)
