"""A training loop in the style of published FER code, to compare with.

Images come from files through Pillow and torchvision in worker processes, everything is single
precision, and the text tower embeds the class prompts again for every batch. The tower has the size
of CLIP ViT-B/16's and random weights: the arithmetic is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ke2nt.banks.text_bank import TextBank
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.output import KE2NTOutput

__all__ = ["ReferenceSettings", "reference_epochs"]

_ARCHITECTURE = "ViT-B-16"
_LOGIT_SCALE = 100.0


@dataclass(frozen=True)
class ReferenceSettings:
    """How the loop loads images.

    Attributes:
        size: Side of the input in pixels.
        batch_size: Images of a step.
        workers: Worker processes that decode.
        device: Where to compute.
    """

    size: int
    batch_size: int
    workers: int
    device: torch.device


@contextmanager
def reference_epochs(
    backbone: nn.Module,
    width: int,
    files: Sequence[Path],
    labels: Sequence[int],
    prompts: Mapping[str, str],
    settings: ReferenceSettings,
) -> Iterator[Callable[[], int]]:
    """Yield a function that trains on the files once, and returns how many images it used.

    Args:
        backbone: Gives (B, width) features.
        width: Its width.
        files: Image files.
        labels: Their class indices.
        prompts: Class → prompt; "neutral" is among them.
        settings: How to load the images, and where to compute.
    """
    tower = _TextTower().to(settings.device)
    model = _Recognizer(backbone, width, dim=int(tower.clip.text_projection.shape[1]))
    model.to(settings.device).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.002, momentum=0.9, weight_decay=5e-4, foreach=False
    )
    loss = KE2NTLoss()

    # shuffled batches from worker processes
    loader = DataLoader(
        _Files(files, labels, settings.size),
        settings.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=settings.workers,
        persistent_workers=settings.workers > 0,
    )

    def epoch() -> int:
        num_images = 0
        for images, target in loader:
            # wasteful on purpose: the prompts never change
            bank = _embed_prompts(tower, prompts)
            output = model(images.to(settings.device), bank)
            total, _ = loss(output, target.to(settings.device), bank)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()

            num_images += len(images)
            total.item()  # the running mean that such code prints
        return num_images

    yield epoch


class _Files(Dataset[Any]):
    """Image files and labels, transformed one by one."""

    def __init__(self, files: Sequence[Path], labels: Sequence[int], size: int) -> None:
        from torchvision import transforms

        self.files, self.labels = files, labels
        self.transform = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.RandomApply([transforms.RandomCrop(size, padding=4)], p=0.5),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
                transforms.RandomErasing(scale=(0.02, 0.25)),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        with Image.open(self.files[index]) as image:
            return self.transform(image.convert("RGB")), self.labels[index]


class _Recognizer(nn.Module):
    """A backbone with the two heads of KE2NT, written as plainly as in published code."""

    def __init__(self, backbone: nn.Module, width: int, dim: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection = nn.Linear(width, dim)
        self.neutral = nn.Sequential(nn.Linear(dim, dim // 4), nn.ReLU(), nn.Linear(dim // 4, dim))

    def forward(self, images: Tensor, bank: TextBank) -> KE2NTOutput:
        expression = self.projection(self.backbone(images))
        unit = nn.functional.normalize(expression, dim=-1)
        logits = _LOGIT_SCALE * unit @ bank.embeddings.T
        return KE2NTOutput(logits, expression, self.neutral(expression))


class _TextTower(nn.Module):
    """open_clip's text side, frozen."""

    def __init__(self) -> None:
        import open_clip

        super().__init__()
        self.clip = open_clip.create_model(_ARCHITECTURE).eval().requires_grad_(False)
        self.clip.visual = None
        self.tokenizer = open_clip.get_tokenizer(_ARCHITECTURE)

    @torch.no_grad()
    def forward(self, prompts: list[str]) -> Tensor:
        tokens = self.tokenizer(prompts).to(self.clip.token_embedding.weight.device)
        embeddings: Tensor = self.clip.encode_text(tokens)
        return embeddings


def _embed_prompts(tower: nn.Module, prompts: Mapping[str, str]) -> TextBank:
    classes = tuple(prompts)
    return TextBank.from_tensors(
        tower(list(prompts.values())),
        classes=classes,
        neutral_index=classes.index("neutral"),
        logit_scale=_LOGIT_SCALE,
    )
