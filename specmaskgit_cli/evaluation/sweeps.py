"""The ways to make sounds that are compared: settings of the decoding, conditions, and other models."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..decoding.settings import DecodeSettings

DEFAULT = DecodeSettings()
DIFFUSION_STEPS = 100  # of VQ-Diffusion (arXiv 2111.14822)
TEXT, SOUND, BOTH = CONDITIONS = ("text", "sound", "text and sound")
OTHERS = "model"  # the sweep over other models


@dataclass(frozen=True)
class Way:
    """How the sounds of a row are made: settings, what the condition is made of, and the name of another model."""

    settings: DecodeSettings = DEFAULT
    condition: str = TEXT
    model: str | None = None


def sweeps(cells: int, sounds: bool = True, others: tuple[str, ...] = ()) -> dict[str, list[tuple[str, Way]]]:
    """The ways of each sweep, with the names of their rows; every sweep holds the default.

    What is decoded at a constant guidance has the mean of the ramp.

    Args:
        cells: tokens of a whole grid.
        sounds: whether there are real sounds to resemble.
        others: names of other models.
    """
    flat = replace(DEFAULT, guidance=DEFAULT.guidance * (1 + DEFAULT.onset) / 2, onset=1.0, guided=1.0)
    strategies = [
        ("masked, parallel", DEFAULT),
        ("autoregressive", replace(flat, steps=cells, order="raster")),
        ("absorbing diffusion", replace(flat, steps=DIFFUSION_STEPS, order="random", schedule="ancestral")),
    ]
    ways = {
        "steps": [(in_steps(n), _with(steps=n)) for n in (1, 2, 4, 8, 12, 16, 24)],
        "strategy": [(name, Way(settings)) for name, settings in strategies],
        "condition": [(f"by {condition}", Way(condition=condition)) for condition in CONDITIONS],
        "order": [(f"{order} order", _with(order=order)) for order in ("confidence", "halton", "random", "revisit")],
        "guidance": [(f"guidance {g:g}", _with(guidance=g)) for g in (0.0, 1.0, 3.0, 4.0, 6.0)],
        "temperature": [
            ("most probable codes", _with(sampler="greedy")),
            *((f"temperature {t:g}", _with(temperature=t)) for t in (0.7, 0.85, 1.0, 1.15, 1.3)),
        ],
    }
    if not sounds:
        del ways["condition"]
    if others:
        ways[OTHERS] = [("this model", Way()), *((name, Way(model=name)) for name in others)]
    return ways


def in_steps(count: int) -> str:
    """The name of the row of so many steps."""
    return "1 step" if count == 1 else f"{count} steps"


def _with(**settings) -> Way:
    return Way(replace(DEFAULT, **settings))
