"""timm and torchvision are imported without torch's compiler, which still works afterwards."""

from __future__ import annotations

from command_line import run_unimported

CODE = """
import sys
import torch
from ke2nt.models.timm_models import build_timm_model

options = {"stem": "standard", "drop_path": None, "pretrained": False, "options": {}}
build_timm_model("test_resnet", image_size=32, in_chans=3, **options)
assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
disable = torch.compiler.disable

import torchvision
boxes = [torch.tensor([[0.0, 0.0, 4.0, 4.0]])]
pooled = torchvision.ops.roi_align(torch.ones(1, 1, 8, 8), boxes, 2)
assert torch.equal(pooled, torch.ones(1, 1, 2, 2))

from timm.models import naflexvit  # it decorates with torch.compiler.disable
double = disable(lambda x: 2 * x)
assert torch.compile(double, backend="eager")(torch.ones(2)).sum() == 4
assert "torch._dynamo.utils" in sys.modules
"""


def test_the_compiler_is_loaded_when_it_is_called():
    done = run_unimported("--version", before=CODE)
    assert (done.returncode, done.stderr) == (0, "")
