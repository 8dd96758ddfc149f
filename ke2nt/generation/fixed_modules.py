"""Modules that do not train with the others."""

from __future__ import annotations

from torch import nn

__all__ = ["FixedModules"]


class FixedModules(nn.Module):
    """Holds modules that stay in evaluation mode while others train."""

    def __init__(self, **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module.eval())

    def train(self, mode: bool = True) -> FixedModules:
        """Stay in evaluation mode."""
        return super().train(False)
