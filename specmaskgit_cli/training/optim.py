"""Muon for the hidden matrices, AdamW for everything else, behind one optimizer-like object."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised by Newton-Schulz iterations (Jordan et al. 2024).

    `torch.optim.Muon` iterates in bfloat16, which most CPUs emulate slowly; here it is float32 off the GPU.
    """

    def __init__(self, parameters, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = orthogonalize(p.grad.lerp(state["momentum"], group["momentum"]))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(update, alpha=-group["lr"] * max(1, p.shape[0] / p.shape[1]) ** 0.5)


def orthogonalize(g: Tensor, iterations: int = 5) -> Tensor:
    """Approximately U V^T of the SVD of g [m, n]."""
    x = g.bfloat16() if g.is_cuda else g.float()
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        a = x @ x.T
        b = torch.addmm(a, a, a, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, b, x, beta=3.4445)
    return (x.T if tall else x).to(g.dtype)


class Optimizers:
    """Muon for matrices inside blocks, AdamW for the rest (embeddings, heads, norms, convolutions)."""

    def __init__(self, model: nn.Module, muon_lr: float, adam_lr: float, weight_decay: float = 0.01):
        matrices, others = [], []
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            inside = any(part in name for part in ("encoder.", "decoder.", "blocks."))
            (matrices if p.ndim == 2 and inside and min(p.shape) > 1 else others).append(p)
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(Muon(matrices, lr=muon_lr, weight_decay=weight_decay))
        if others:
            self.parts.append(torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0))
        self.base = [[g["lr"] for g in part.param_groups] for part in self.parts]

    def step(self, scale: float) -> None:
        """One update with every learning rate multiplied by `scale`."""
        for part, base in zip(self.parts, self.base, strict=True):
            for group, lr in zip(part.param_groups, base, strict=True):
                group["lr"] = lr * scale
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict]:
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict]) -> None:
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)
