"""How to decode: the settings, their defaults, and the names of the strategies.

Nothing here needs numpy, so the command line can show defaults and names without waiting for it. The class behind each
name is in the registry of `orders`, `schedules` or `samplers`.
"""

from __future__ import annotations

from dataclasses import dataclass

STEPS, GUIDANCE = 2, 2.0
ORDERS = ("confidence", "halton", "random", "raster", "revisit")
SCHEDULES = ("cosine", "ancestral")
SAMPLERS = ("nucleus", "greedy")


@dataclass(frozen=True)
class DecodeSettings:
    """How to decode. The defaults are the paper's where it names one.

    Other ways to decode are settings of the same loop. Order "raster" with as many steps as there are tokens, or more,
    is autoregressive; order "random" with the ancestral schedule is the reverse process of absorbing-state diffusion,
    the kind of VQ-Diffusion (arXiv 2111.14822). Both have their guidance without a ramp.

    Raises:
        ValueError: a number out of range or an unknown name.
    """

    steps: int = STEPS
    guidance: float = GUIDANCE  # where the ramp ends; 0 turns the unconditional pass off
    temperature: float = 1.0
    top_p: float = 1.0
    gumbel: float = 4.5  # noise on the confidence at the first step
    order: str = "confidence"  # which cells are decided first: one of ORDERS
    schedule: str = "cosine"  # how many cells are decided at each step: one of SCHEDULES
    sampler: str = "nucleus"  # how a code is drawn from logits: one of SAMPLERS
    onset: float = 0.5  # guidance at the first step, as a share of the last step's: 0 in the paper, 1 is no ramp
    guided: float = 0.75  # share of the steps, from the first, that are guided: 1 in the paper
    detail: float = 0.3  # temperature of the deeper levels, as a share of the first level's

    def __post_init__(self):
        for name, known in (("order", ORDERS), ("schedule", SCHEDULES), ("sampler", SAMPLERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}")
        if self.steps < 1 or not self.temperature > 0 or not self.detail > 0 or not 0 < self.top_p <= 1:
            raise ValueError(f"steps below 1, temperature or detail not above 0, or top_p outside (0, 1]: {self}")
        if not 0 <= self.onset <= 1 or not 0 <= self.guided <= 1:
            raise ValueError(f"onset or guided outside [0, 1]: {self}")
