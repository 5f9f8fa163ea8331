"""Muon for the hidden matrices, AdamW for everything else, behind one optimizer-like object."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Momentum whose update is orthogonalised by Newton-Schulz iterations (Jordan et al. 2024).

    `torch.optim.Muon` iterates in bfloat16, which most CPUs emulate slowly; here `dtype` says in what.
    """

    def __init__(
        self, parameters, lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.0, dtype=torch.float32
    ):
        self.dtype = dtype
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            alike = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    alike[p.shape].append(p)
            for shape, matrices in alike.items():
                self._step(group, matrices, max(1, shape[0] / shape[1]) ** 0.5)

    def _step(self, group: dict, matrices: list[Tensor], stretch: float) -> None:
        """One update of matrices of one shape, all at once: a GPU is soon kept waiting by many small products."""
        for p in matrices:
            self.state[p].setdefault("momentum", torch.zeros_like(p))
        momenta, gradients = [self.state[p]["momentum"] for p in matrices], [p.grad for p in matrices]
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        ahead = torch.stack(torch._foreach_lerp(gradients, momenta, group["momentum"]))
        updates = orthogonalize(ahead, self.dtype).to(ahead.dtype).unbind()
        torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(matrices, updates, alpha=-group["lr"] * stretch)


def orthogonalize(g: Tensor, dtype: torch.dtype = torch.float32, iterations: int = 5) -> Tensor:
    """Approximately U V^T of the SVD of each matrix of g [..., m, n], computed in `dtype`."""
    tall = g.shape[-2] > g.shape[-1]
    x = g.mT if tall else g
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(iterations):
        a = x @ x.mT
        b = 2.0315 * (a @ a) - 4.7750 * a
        x = b @ x + 3.4445 * x
    return x.mT if tall else x


class Optimizers:
    """Muon for matrices inside blocks, AdamW for the rest (embeddings, heads, norms, convolutions)."""

    def __init__(
        self, model: nn.Module, muon_lr: float, adam_lr: float, weight_decay: float = 0.01, precision: str = "fp32"
    ):
        matrices, others = [], []
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        for name, p in model.named_parameters():
            if not p.requires_grad:
                continue
            inside = any(part in name for part in ("encoder.", "decoder.", "blocks."))
            (matrices if p.ndim == 2 and inside and min(p.shape) > 1 else others).append(p)
        self.parts: list[torch.optim.Optimizer] = []
        if matrices:
            self.parts.append(Muon(matrices, muon_lr, weight_decay=weight_decay, dtype=dtype))
        if others:
            self.parts.append(torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True))
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
