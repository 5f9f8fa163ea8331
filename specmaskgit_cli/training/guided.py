"""Guidance in one pass: a generator learns what two passes of a finished one, conditional and unconditional, give.

Distillation of guidance (Meng et al., arXiv 2210.03142): the model, whose condition names a scale, is to give the
logits that its teacher has when it is guided at that scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..conditioning.condition import Layout
from ..config.settings import CheckpointConfig, GeneratorConfig
from ..errors import SmgError
from ..models.generator import Generator
from .loop import load_run, run_config

MOST = 5.0  # guidance that is learned


def with_guidance(condition: Tensor, scale: Tensor, config: GeneratorConfig) -> Tensor:
    """Packed conditions [B, condition_size] with the scales [B] of the guidance that the generator is to apply."""
    guided = condition.clone()
    guided[:, Layout(config).guidance] = scale[:, None].to(guided)
    return guided


@dataclass(frozen=True)
class Lesson:
    """What guided examples of a batch should come to.

    Attributes:
        teacher: whose guidance it is.
        examples: int64 [n], which they are.
        scale: float32 [n], of their guidance.
        hidden: float32 [2, n, cells, width], the teacher's states, conditional and unconditional.
    """

    teacher: Generator
    examples: Tensor
    scale: Tensor
    hidden: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, teacher: Generator, tokens: Tensor, mask: Tensor, condition: Tensor, scale: Tensor) -> Lesson:
        """From a batch's tokens, mask, packed condition for no guidance, and the scales [B] of its examples."""
        examples = scale.nonzero()[:, 0]
        # A teacher that does not apply guidance itself takes the same condition without a place for its scale.
        given = tokens[examples], mask[examples], condition[examples, : Layout(teacher.config).size]
        hidden = [teacher.hidden(*given, torch.full_like(examples, drop, dtype=torch.bool)) for drop in (False, True)]
        return cls(teacher, examples, scale[examples], torch.stack(hidden))

    def divergence(
        self, model: Generator, hidden: Tensor, tokens: Tensor, where: Tensor, level: int, tables: Tensor | None = None
    ) -> Tensor:
        """Kullback-Leibler divergence of what a model's states [B, cells, width] say of a level from what they should,
        summed over the places `where` (bool [B, rows, columns]) of the guided examples."""
        where, codes = where.flatten(1)[self.examples], tokens.flatten(1, 2)[self.examples]
        known, level = codes[where], torch.tensor(level, device=codes.device)
        with torch.no_grad():
            against = len(known) + torch.arange(len(known), device=codes.device)
            rows, scale = torch.cat([states[where] for states in self.hidden]), self.scale[where.nonzero()[:, 0]]
            goal = self.teacher.guided_logits(rows, known.repeat(2, 1), level, against, scale)
        found = model.logits(hidden[self.examples][where], known, level, tables)
        return F.kl_div(F.log_softmax(found, -1), F.log_softmax(goal, -1), reduction="sum", log_target=True)


def continued(run: Path, config: CheckpointConfig) -> tuple[CheckpointConfig, Generator]:
    """A configuration with the generator of a finished run, and that generator, to train further.

    Raises:
        SmgError: `run` is no finished run of a generator, or one on other conditions.
    """
    generator = run_config(run).generator
    if generator.condition_dim != config.generator.condition_dim:
        sizes = f"{generator.condition_dim} numbers, not {config.generator.condition_dim}"
        raise SmgError(f"{run}: was trained on embeddings of {sizes}; name the text encoder it was trained with")
    config = replace(config, generator=generator)
    return config, load_run(run, Generator(generator, config.tokenizer, config.rows)).train()


def taught(config: CheckpointConfig, teacher: Generator) -> tuple[CheckpointConfig, Generator]:
    """A configuration and a generator that goes on as its teacher and is to learn to be guided in one pass.

    A condition that had no place for guidance gets one, which the model does not yet heed well.
    """
    generator, state = teacher.config, teacher.state_dict()
    if not generator.guidance:
        generator = replace(generator, guidance=MOST)
        weight = state["condition_in.0.weight"]
        # 0 changes nothing. Had the weights of the others no effect yet, plain and guided would pull at the same ones.
        for name, added in {
            "condition_in.0.weight": torch.randn(len(weight), 1) * weight.std(),
            "condition_mean": torch.zeros(1),
            "condition_scale": torch.tensor([MOST / 2]),
        }.items():
            state[name] = torch.cat([state[name], added], -1)
    made = Generator(generator, config.tokenizer, config.rows)
    made.load_state_dict(state)
    return replace(config, generator=generator), made
