"""CLIP's text tower and CoOp's loss from the papers' formulas, in NumPy and float64, in loops."""

from __future__ import annotations

import math

import numpy as np

WORDS = ("neutral", "happy", "in pain")


class Oracle:
    """A causal text tower with its weights by open_clip's names."""

    def __init__(self, state, heads):
        self.state = {name: value.double().numpy() for name, value in state.items()}
        self.heads = heads

    def embed(self, rows, end):
        """One prompt of token embeddings (L, W), pooled at `end` → (D,) of unit norm."""
        s = self.state
        x = rows + s["positional_embedding"][: len(rows)]
        layers = 1 + max(int(key.split(".")[2]) for key in s if key.startswith("transformer."))
        for layer in range(layers):
            x = x + self._attend(layer, self._norm(x, f"transformer.resblocks.{layer}.ln_1"))
            prefix = f"transformer.resblocks.{layer}."
            hidden = self._norm(x, f"{prefix}ln_2") @ s[f"{prefix}mlp.c_fc.weight"].T
            hidden = hidden + s[f"{prefix}mlp.c_fc.bias"]
            hidden = np.vectorize(lambda v: 0.5 * v * (1 + math.erf(v / math.sqrt(2))))(hidden)
            x = x + hidden @ s[f"{prefix}mlp.c_proj.weight"].T + s[f"{prefix}mlp.c_proj.bias"]
        vector = self._norm(x, "ln_final")[end] @ s["text_projection"]
        return vector / np.linalg.norm(vector)

    def _norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        scaled = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]

    def _attend(self, layer, x):
        prefix = f"transformer.resblocks.{layer}.attn."
        joint = x @ self.state[f"{prefix}in_proj_weight"].T + self.state[f"{prefix}in_proj_bias"]
        width, length = x.shape[1], len(x)
        size = width // self.heads
        out = np.zeros_like(x)
        for head in range(self.heads):
            q, k, v = (
                joint[:, part * width + head * size : part * width + (head + 1) * size]
                for part in range(3)
            )
            for i in range(length):
                scores = np.array([q[i] @ k[j] / math.sqrt(size) for j in range(i + 1)])
                weights = np.exp(scores - scores.max())
                weights = weights / weights.sum()
                out[i, head * size : (head + 1) * size] = sum(
                    weights[j] * v[j] for j in range(i + 1)
                )
        weight = self.state[f"{prefix}out_proj.weight"]
        return out @ weight.T + self.state[f"{prefix}out_proj.bias"]


def prompt_rows(table, start, before, word, after, end):
    """Token embeddings (L, W) of start, vectors, word, vectors, rest and end token."""
    words, rest = word
    parts = [table[[start]], before, table[words], after, table[rest], table[[end]]]
    return np.concatenate([part for part in parts if len(part)])


def loss(classes, images, labels, scale, written=None, regularize=0.0):
    """Mean cross-entropy over images, and λ times the mean squared distance over classes."""
    total = 0.0
    for image, label in zip(images, labels, strict=True):
        logits = [scale * float(image @ c) for c in classes]
        top = max(logits)
        total += top + math.log(sum(math.exp(v - top) for v in logits)) - logits[label]
    total /= len(labels)
    if regularize:
        distances = [((c - w) ** 2).sum() for c, w in zip(classes, written, strict=True)]
        total += regularize * sum(distances) / len(distances)
    return total
