"""Processes that train one model together, as torchrun starts them; a lone process is a team of one.

All of them hold the whole model, and everything they exchange is a sum: of gradients and statistics, or of tensors
that all but one of them, or all of them elsewhere, have filled with zeros. Sums have the same bits in every process.
"""

from __future__ import annotations

import os
from datetime import timedelta

from .errors import SmgError

LONGEST_WAIT = timedelta(days=7)  # for others that decode sounds

_rank, _size = 0, 1


def rank() -> int:
    """Number of this process, from 0."""
    return _rank


def size() -> int:
    """How many processes train together."""
    return _size


def join(device: str) -> str:
    """Join the processes that torchrun started, if it did; returns the device of this one (cuda: one each).

    Raises:
        SmgError: there is no device left for this one, or no way to the others.
    """
    global _rank, _size
    if _size > 1 or int(os.environ.get("WORLD_SIZE", 1)) < 2 or "MASTER_ADDR" not in os.environ:
        return device
    import torch
    from torch import distributed

    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', 0)}"
    try:
        if device.startswith("cuda"):
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    except (RuntimeError, ValueError) as error:
        raise SmgError(f"{device}: cannot join the other processes ({str(error).splitlines()[0]})") from None
    _rank, _size = distributed.get_rank(), distributed.get_world_size()
    return device


def leave() -> None:
    """Part from the other processes."""
    global _rank, _size
    if _size > 1:
        from torch import distributed

        wait()  # for the first, which validates and saves
        distributed.destroy_process_group()
        _rank, _size = 0, 1


def add_up(*tensors) -> None:
    """Replace tensors of one type by their sums over all processes."""
    if _size == 1 or not tensors:
        return
    import torch
    from torch import distributed

    flat = torch.cat([t.detach().flatten() for t in tensors])
    distributed.all_reduce(flat)
    for tensor, summed in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.detach().copy_(summed.view_as(tensor))


def from_first(*tensors) -> None:
    """Replace tensors of one type by those of process 0."""
    if _rank:
        for tensor in tensors:
            tensor.detach().zero_()
    add_up(*tensors)


def agree(progress: float, stop: bool, device) -> tuple[float, bool]:
    """(progress of process 0, whether any is to stop), the same in all of them."""
    shared = _add_up_numbers([0.0 if _rank else progress, stop], device)
    return shared[0], shared[1] > 0


def alike(number: float, device) -> bool:
    """Whether all processes have the same number."""
    total, squares = _add_up_numbers([number, number * number], device)
    return total == number * _size and squares == number * number * _size


def whole(logs: dict[str, float], device) -> dict[str, float]:
    """What all processes logged, added up."""
    return dict(zip(logs, _add_up_numbers(list(logs.values()), device), strict=True))


def _add_up_numbers(numbers: list[float], device) -> list[float]:
    if _size == 1:
        return numbers
    import torch

    shared = torch.tensor(numbers, dtype=torch.float64, device=device)
    add_up(shared)
    return shared.tolist()


def add_up_gradients(model) -> None:
    """Give every process the sum of the gradients; a weight for which none has one keeps none."""
    if _size == 1:
        return
    import torch

    weights = [p for p in model.parameters() if p.requires_grad]
    had = _add_up_numbers([p.grad is not None for p in weights], weights[0].device)
    learned = [p for p, n in zip(weights, had, strict=True) if n]
    for p in learned:
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    add_up(*(p.grad for p in learned))


def wait() -> None:
    """Return when every process has come here."""
    if _size > 1:
        from torch import distributed

        # a group of its own: others may take hours to decode their part of the sounds, collectives of training not
        group = distributed.new_group(backend="gloo", timeout=LONGEST_WAIT)
        distributed.barrier(group)
        distributed.destroy_process_group(group)
