"""A training step in the style of published FER code, to compare with.

Images come from files through Pillow and torchvision in worker processes, everything is single
precision, and the text tower embeds the class prompts anew for every batch. The tower has the size
of CLIP ViT-B/16's and random weights: the arithmetic is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ke2nt.banks.text_bank import TextBank
from ke2nt.losses.objective import KE2NTLoss
from ke2nt.models.output import KE2NTOutput

__all__ = ["reference_epochs"]

_ARCHITECTURE = "ViT-B-16"


class _Files(Dataset[Any]):
    """Image files and labels, transformed one by one."""

    def __init__(self, files: list[Path], labels: list[int], size: int) -> None:
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


@contextmanager
def reference_epochs(
    backbone: nn.Module,
    width: int,
    files: list[Path],
    labels: list[int],
    prompts: dict[str, str],
    *,
    size: int,
    batch_size: int,
    workers: int,
    device: torch.device,
) -> Iterator[Any]:
    """What trains on the files once each time it is called, and returns how many images it saw.

    Args:
        backbone: Gives (B, width) features.
        width: Its width.
        files: Image files.
        labels: Their class indices.
        prompts: Class → prompt; "neutral" is among them.
        size: Side of the input, pixels.
        batch_size: Images a step.
        workers: Worker processes that decode.
        device: Where to compute.
    """
    tower = _TextTower().to(device)
    dim = int(tower.clip.text_projection.shape[1])
    projection = nn.Linear(width, dim)
    mover = nn.Sequential(nn.Linear(dim, dim // 4), nn.ReLU(), nn.Linear(dim // 4, dim))
    model = nn.ModuleList([backbone, projection, mover]).to(device).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.002, momentum=0.9, weight_decay=5e-4, foreach=False
    )
    loss = KE2NTLoss()
    loader = DataLoader(
        _Files(files, labels, size),
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    classes = tuple(prompts)

    def epoch() -> int:
        seen = 0
        for images, target in loader:
            raw = tower(list(prompts.values()))
            bank = TextBank.from_tensors(
                raw, classes=classes, neutral_index=classes.index("neutral"), logit_scale=100.0
            )
            expression = projection(backbone(images.to(device)))
            unit = nn.functional.normalize(expression, dim=-1)
            logits = 100.0 * unit @ bank.embeddings.T
            output = KE2NTOutput(logits, expression, mover(expression))
            total, _ = loss(output, target.to(device), bank)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            seen += len(images)
            total.item()  # the running mean that such code prints
        return seen

    yield epoch
