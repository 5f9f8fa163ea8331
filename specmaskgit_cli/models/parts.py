"""The table of what a checkpoint is made of: one Network a file of weights, one Part a graph.

Both runtimes, packing, export and its comparison, converted models and untrained ones go through this table, and none
of them names a network by itself. To add a network called "critic":

1. `config/settings.py`: its settings, a dataclass, and a field `critic` of `CheckpointConfig` whose default means that
   a checkpoint has none. Limits of its numbers go into `config/limits.py`.
2. `models/critic.py`: the torch network.
3. Here: a `Network` in NETWORKS, whose section is "critic", and in PARTS a `Part` for each of its methods that is to be
   a graph, with a function that gives the part's signature.
4. `training/critic.py`: a `Stage` that is named "critic" like the section, and its command in `cli/train.py`.
5. A test of what it is good for. `tests/models/test_parts.py` goes through all parts by itself.

`smg train pack` then takes the run, `smg export` writes the graph and compares it, and `runtime.run("critic", ...)`
computes it on either runtime; a method of `runtime.base.Runtime` gives that call a name and types. Torch is imported
only where a network is built.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config.settings import GRIFFIN_LIM, CheckpointConfig
from .signature import BATCH, LONG, Array, Axis, Signature, below_a_cutoff, coin, direction, normal, true, whole

if TYPE_CHECKING:
    from torch import nn

COLUMNS = Axis("columns", 1, 4096)
LOG_MEL = normal(-5, 2)


@dataclass(frozen=True)
class Network:
    """A torch model whose weights are one file of a checkpoint.

    Attributes:
        weights: the file.
        section: its settings, a field of `CheckpointConfig`; the training stage goes by the same name.
        build: the untrained model for a checkpoint's settings, or None where these name one that is kept as a graph
            alone. It raises SmgError for settings that contradict each other.
        needed: no checkpoint that generates is without it.
        present: whether a checkpoint of such settings has it.
        without: its section, to that of a checkpoint that has none.
        trained_as: how the trainer's model calls it, where it trains more beside it.
        shared: weights that are stored with another network: name -> (that network's section, name there).
    """

    weights: str
    section: str
    build: Callable[[CheckpointConfig], nn.Module | None]
    needed: bool = False
    present: Callable[[CheckpointConfig], bool] = lambda config: True
    without: Callable[[Any], Any] = lambda section: section
    trained_as: str = ""
    shared: dict[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A graph of a checkpoint: one method of a network.

    Attributes:
        graph: its name; onnx/<graph>.onnx in a checkpoint.
        network: that it belongs to; None for the text encoder, which is published elsewhere and kept as it comes, with
            its weights inside and its tokenizer beside it (`runtime.text`).
        signature: the inputs and the output for a checkpoint's settings; None as `network`.
        method: of the torch model.
        extra: only some tasks need it. Checkpoints may lack it, and exports leave it out.
    """

    graph: str
    network: Network | None = None
    signature: Callable[[CheckpointConfig], Signature] | None = None
    method: str = "forward"
    extra: bool = False

    @property
    def file(self) -> str:
        """The graph in a checkpoint, without weights."""
        return f"onnx/{self.graph}.onnx"

    @property
    def names(self) -> str:
        """The JSON list beside it: which weights of the network it is to be given."""
        return f"onnx/{self.graph}.json"


def _build_tokenizer(config: CheckpointConfig) -> nn.Module:
    from .tokenizer import Tokenizer

    return Tokenizer(config.tokenizer, config.mel)


def _build_generator(config: CheckpointConfig) -> nn.Module:
    from .generator import Generator

    return Generator(config.generator, config.tokenizer, config.rows)


def _build_audio_encoder(config: CheckpointConfig) -> nn.Module | None:
    from .embedder import AudioTower

    return None if config.embedder.kind == "clap" else AudioTower(config.embedder, config.mel)


def _build_vocoder(config: CheckpointConfig) -> nn.Module:
    from .vocoders import build_vocoder

    return build_vocoder(config.vocoder, config.mel)


def _build_envelope(config: CheckpointConfig) -> nn.Module:
    from .envelope import EnvelopeEstimator

    return EnvelopeEstimator(config.envelope)


TOKENIZER = Network("tokenizer.safetensors", "tokenizer", _build_tokenizer, needed=True, trained_as="tokenizer")
GENERATOR = Network(
    "generator.safetensors", "generator", _build_generator, needed=True,
    shared={"codebooks": ("tokenizer", "quantizer.codebooks")},
)  # fmt: skip
AUDIO_ENCODER = Network("audio_encoder.safetensors", "embedder", _build_audio_encoder, trained_as="tower")
VOCODER = Network(
    "vocoder.safetensors", "vocoder", _build_vocoder, trained_as="vocoder",
    present=lambda config: config.vocoder.kind != GRIFFIN_LIM,
    without=lambda vocoder: replace(vocoder, kind=GRIFFIN_LIM),
)  # fmt: skip
ENVELOPE = Network(
    "envelope.safetensors", "envelope", _build_envelope, present=lambda config: config.envelope.width > 0,
    without=lambda envelope: replace(envelope, width=0),
)  # fmt: skip

# By section; a network comes after those that it shares weights with.
NETWORKS = {network.section: network for network in (TOKENIZER, GENERATOR, AUDIO_ENCODER, VOCODER, ENVELOPE)}


def _frames(config: CheckpointConfig, low: int) -> Axis:
    return Axis("frames", low, LONG, a_column=config.tokenizer.patch_frames)


def _encode(config: CheckpointConfig) -> Signature:
    patch, levels = config.tokenizer.patch_frames, config.tokenizer.levels
    return Signature(
        (Array("mel", (BATCH, config.mel.n_mels, COLUMNS * patch), LOG_MEL),),
        Array("tokens", (BATCH, config.rows, COLUMNS, levels)),
    )


def _decode(config: CheckpointConfig) -> Signature:
    patch, bands = config.tokenizer.patch_frames, config.mel.n_mels
    tokens = BATCH, config.rows, COLUMNS, config.tokenizer.levels
    return Signature(
        (
            Array("tokens", tokens, whole(config.tokenizer.codebook_size)),
            Array("noise", (BATCH, bands, COLUMNS * patch), normal(0, 1)),
        ),
        Array("mel", (BATCH, bands, COLUMNS * patch)),
    )


def _grid(config: CheckpointConfig) -> tuple[Axis, tuple[Array, ...]]:
    """The columns of the generator's grid, and its inputs."""
    columns, generator = Axis("columns", 2, config.generator.max_columns), config.generator
    cells = BATCH, config.rows, columns
    return columns, (
        Array("tokens", (*cells, config.tokenizer.levels), whole(config.tokenizer.codebook_size)),
        Array("mask", cells, coin),
        Array("condition", (BATCH, generator.condition_size), direction),
        Array("dropped", (BATCH,), coin),
    )


def _hidden(config: CheckpointConfig) -> Signature:
    _, grid = _grid(config)
    cells = Axis("cells", a_column=2)
    wanted = Array("cells", (BATCH, cells), whole(lambda sizes: config.rows * sizes["columns"]))
    return Signature((*grid, wanted), Array("hidden", (BATCH, cells, config.generator.width)))


def _features(config: CheckpointConfig) -> Signature:
    columns, grid = _grid(config)
    states = config.generator.layers + 1, columns * config.rows, config.generator.width
    return Signature(grid, Array("features", (BATCH, *states)))


def _logits(config: CheckpointConfig) -> Signature:
    cells, drawn, tokenizer = Axis("cells", a_column=2), Axis("drawn"), config.tokenizer
    return Signature(
        (
            Array("hidden", (cells, config.generator.width), normal(0, 1)),
            Array("codes", (cells, tokenizer.levels), whole(tokenizer.codebook_size)),
            Array("level", (), lambda rng, shape, sizes: np.array(rng.integers(tokenizer.levels))),
            Array("against", (drawn,), whole(lambda sizes: sizes["cells"])),
            Array("scale", (drawn,), lambda rng, shape, sizes: np.linspace(0, 4, *shape, dtype=np.float32)),
        ),
        Array("logits", (drawn, tokenizer.codebook_size)),
    )


def _embed_audio(config: CheckpointConfig) -> Signature:
    embedder = config.embedder
    if embedder.kind == "clap":  # spectrograms in decibels, of its own front end
        heard = Array("features", (BATCH, 1, embedder.frames, embedder.n_mels), normal(-40, 20))
    else:
        heard = Array("mel", (BATCH, config.mel.n_mels, _frames(config, 16)), LOG_MEL)
    return Signature((heard,), Array("embedding", (BATCH, embedder.dim)))


def _vocode(config: CheckpointConfig) -> Signature:
    frames = _frames(config, 4)
    return Signature(
        (Array("mel", (BATCH, config.mel.n_mels, frames), LOG_MEL),),
        Array("waveform", (BATCH, frames * config.mel.hop_length)),
    )


def _estimate_envelope(config: CheckpointConfig) -> Signature:
    steps, bands = Axis("steps", 2, LONG, a_column=4), config.envelope.bands
    return Signature(
        (
            Array("found", (BATCH, steps, 2 * bands), normal(-5, 3)),
            Array("known", (BATCH, bands), below_a_cutoff),
            Array("heard", (BATCH, steps), true),
        ),
        Array("levels", (BATCH, steps, bands)),
    )


# By graph, in the order in which they are written.
PARTS = {
    part.graph: part
    for part in (
        Part("text_encoder"),
        Part("tokenizer_encoder", TOKENIZER, _encode, "encode"),
        Part("tokenizer_decoder", TOKENIZER, _decode, "decode"),
        Part("generator", GENERATOR, _hidden, "hidden"),
        Part("head", GENERATOR, _logits, "guided_logits"),
        Part("features", GENERATOR, _features, "features", extra=True),
        Part("audio_encoder", AUDIO_ENCODER, _embed_audio),
        Part("vocoder", VOCODER, _vocode),
        Part("envelope", ENVELOPE, _estimate_envelope),
    )
}


# The text encoder and its tokenizer, which come from elsewhere together.
TEXT_FILES = PARTS["text_encoder"].file, "text/tokenizer.json"


def parts_of(network: Network) -> list[Part]:
    """The graphs of a network."""
    return [part for part in PARTS.values() if part.network is network]
