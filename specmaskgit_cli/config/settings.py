"""Settings of every component, as plain frozen dataclasses that travel in a checkpoint's config.json.

Nothing else in the package holds an audio or model constant. `presets` names the model sizes that can be trained.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

from ..errors import SmgError

FORMAT_VERSION = 1
GRIFFIN_LIM = "griffin-lim"  # the vocoder that needs no weights
VOCODERS = (GRIFFIN_LIM, "vocos", "hifigan", "bigvgan")
EMBEDDERS = ("tower", "clap")


@dataclass(frozen=True)
class MelConfig:
    """Log-mel front end of HiFi-GAN V1: magnitude STFT, Slaney bands, natural log clamped at `log_clamp`."""

    sample_rate: int = 22050
    n_fft: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    f_min: float = 0.0
    f_max: float = 8000.0
    log_clamp: float = 1e-5
    # The tokenizer sees the mel mapped affinely from [scale_min, scale_max] nats to [-1, 1] and clipped. The lower
    # end is 80 dB under a full-scale tone: what lies below cannot be heard and would only cost codes.
    scale_min: float = -9.5
    scale_max: float = 2.5

    @property
    def frames_per_second(self) -> float:
        return self.sample_rate / self.hop_length

    def frames(self, seconds: float) -> int:
        """The number of frames nearest to a time, at least 1."""
        return max(1, round(seconds * self.frames_per_second))

    @property
    def octaves_per_band(self) -> float:
        """Distance of neighbouring bands where the Slaney scale is logarithmic, that is above 1 kHz."""
        log_step = math.log2(6.4) / 27
        bottom, top = (
            hz * 3 / 200 if hz < 1000 else 15 + math.log2(hz / 1000) / log_step for hz in (self.f_min, self.f_max)
        )
        return (top - bottom) / (self.n_mels + 1) * log_step

    def bands(self, octaves: float) -> int:
        """The number of bands nearest to an interval, at least 1."""
        return max(1, round(octaves / self.octaves_per_band))


@dataclass(frozen=True)
class TokenizerConfig:
    """Patch tokenizer: ConvNeXt encoder, residual vector quantiser, ConvNeXt decoder with noise texture."""

    patch_bands: int = 16
    patch_frames: int = 16
    width: int = 256
    encoder_layers: int = 4
    decoder_layers: int = 5
    kernel: int = 5
    codebook_size: int = 1024
    codebook_dim: int = 64
    levels: int = 6  # residual codes a patch; the paper uses 1
    texture_channels: int = 48
    texture_layers: int = 0  # ConvNeXt blocks that shape the noise
    cell_bands: int = 4  # the texture is shaped in cells of so many bands and frames
    cell_frames: int = 4


@dataclass(frozen=True)
class GeneratorConfig:
    """Bidirectional masked Transformer over the token grid."""

    width: int = 192
    layers: int = 5
    heads: int = 6
    mlp_ratio: float = 3.0
    dropout: float = 0.0
    condition_dim: int = 384
    modulation: bool = True  # per-layer scale and shift from the condition, beside the condition as mask token
    max_columns: int = 54  # 10 s are 53.8 columns; the paper's 53 are 9.85 s
    style_dims: int = 0  # numbers that tell a sound's style beside its embedding, see `style`; the paper has none
    contour_steps: int = 0  # moments a column at which it is told how loud and bright, see `contour`; 0: none
    guidance: float = 0.0  # the most it has learned to follow in one pass, told so; 0, as in the paper: none

    @property
    def contour_size(self) -> int:
        """Numbers a column of the contour: loudness and brightness of its moments, and whether each is told."""
        return 2 * self.contour_steps + 2 if self.contour_steps else 0

    @property
    def whole_size(self) -> int:
        """Numbers that tell of the sound as a whole: embedding, style, whether there is a style, and guidance."""
        return self.condition_dim + (self.style_dims + 1 if self.style_dims else 0) + (self.guidance > 0)

    @property
    def condition_size(self) -> int:
        """Of all that the generator is conditioned on: the contour of each column, then what tells of the whole."""
        return self.max_columns * self.contour_size + self.whole_size


@dataclass(frozen=True)
class EmbedderConfig:
    """Joint text-audio space. `kind` is "tower", a frozen sentence encoder and an audio tower trained against it, or
    "clap", a published CLAP that has both sides."""

    kind: str = "tower"
    dim: int = 384
    max_text_tokens: int = 64
    # tower
    width: int = 64
    layers: int = 4
    # clap: its own front end, Slaney bands of `seconds` of sound in power decibels
    sample_rate: int = 48000
    n_fft: int = 1024
    hop_length: int = 480
    n_mels: int = 64
    f_min: float = 50.0
    f_max: float = 14000.0
    seconds: float = 10.0

    @property
    def frames(self) -> int:
        """Columns of a CLAP's spectrogram."""
        return 1 + round(self.seconds * self.sample_rate) // self.hop_length


@dataclass(frozen=True)
class VocoderConfig:
    """Mel to waveform. `kind` is "griffin-lim" (no weights), "vocos", "hifigan" or "bigvgan"."""

    kind: str = GRIFFIN_LIM
    iterations: int = 4
    # vocos
    width: int = 256
    layers: int = 8
    # hifigan (V1 by default) and bigvgan
    upsample_rates: tuple[int, ...] = (8, 8, 2, 2)
    upsample_kernel_sizes: tuple[int, ...] = (16, 16, 4, 4)
    upsample_initial_channel: int = 512
    resblock: str = "1"
    resblock_kernel_sizes: tuple[int, ...] = (3, 7, 11)
    resblock_dilation_sizes: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    # bigvgan
    activation: str = "snakebeta"  # or "snake"
    snake_logscale: bool = True
    use_bias_at_final: bool = True
    use_tanh_at_final: bool = True


@dataclass(frozen=True)
class EnvelopeConfig:
    """Estimator of the envelope of missing bands, see `envelope`; of no width where a checkpoint has none, as in the
    paper."""

    width: int = 0
    layers: int = 6
    kernel: int = 5  # steps of time
    bands: int = 64  # up to half the sample rate
    dropout: float = 0.05


@dataclass(frozen=True)
class CheckpointConfig:
    """Everything in a checkpoint's config.json."""

    format_version: int = FORMAT_VERSION
    name: str = "unnamed"
    version: str = "0"
    license: str = ""
    training_data: str = ""
    mel: MelConfig = field(default_factory=MelConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    embedder: EmbedderConfig = field(default_factory=EmbedderConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    envelope: EnvelopeConfig = field(default_factory=EnvelopeConfig)

    @property
    def rows(self) -> int:
        """Rows of the token grid, low to high frequency."""
        return self.mel.n_mels // self.tokenizer.patch_bands

    @property
    def column_samples(self) -> int:
        """Samples of audio that one column of the token grid covers."""
        return self.tokenizer.patch_frames * self.mel.hop_length

    def columns(self, seconds: float) -> int:
        """The number of columns of the token grid nearest to a time, at least 1."""
        return max(1, round(seconds * self.mel.sample_rate / self.column_samples))


def to_dict(config) -> dict:
    """A dataclass as plain JSON types."""
    return dataclasses.asdict(config)


def from_dict(cls, values: dict, where: str = "config.json"):
    """Build dataclass `cls` from JSON types, recursively.

    Raises:
        SmgError: a key is unknown or a value has the wrong type, with the key named.
    """
    if not isinstance(values, dict):
        raise SmgError(f"{where}: expected an object, found {type(values).__name__}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    if cls is TokenizerConfig and "patch" in values:  # square patches, as checkpoints up to 0.6 name them
        values = dict(values)
        values["patch_bands"] = values["patch_frames"] = values.pop("patch")
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise SmgError(f"{where}: unknown setting {unknown[0]!r}; it may need a newer smg")
    made = {}
    for name, value in values.items():
        default, factory = fields[name].default, fields[name].default_factory
        if default is dataclasses.MISSING and factory is not dataclasses.MISSING:
            default = factory()
        if dataclasses.is_dataclass(default):
            made[name] = from_dict(type(default), value, f"{where}: {name}")
            continue
        if isinstance(default, tuple):
            value = _as_tuple(value)
        expected = (int, float) if isinstance(default, float) else type(default)
        if not isinstance(value, expected) or (isinstance(value, bool) and not isinstance(default, bool)):
            raise SmgError(f"{where}: {name} is {value!r}, expected {type(default).__name__}")
        made[name] = value
    return cls(**made)


def differing(ours: MelConfig, theirs: MelConfig) -> str:
    """The first setting in which two front ends differ, with both values; empty if they are the same."""
    pairs = ((name, value, getattr(theirs, name)) for name, value in to_dict(ours).items())
    return next((f"{name} is {one:g}, not {other:g}" for name, one, other in pairs if one != other), "")


def _as_tuple(value):
    return tuple(_as_tuple(v) for v in value) if isinstance(value, (list, tuple)) else value
