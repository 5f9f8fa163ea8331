"""Neural vocoders: log-mel to waveform.

Sources: Vocos (arXiv 2306.00814, github.com/gemelo-ai/vocos), HiFi-GAN (arXiv 2010.05646, github.com/jik876/hifi-gan).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...config.settings import MelConfig, VocoderConfig
from ...errors import SmgError
from ...spectrogram.mel import mel_filterbank

SLOPE = 0.1  # of HiFi-GAN's leaky ReLUs
MAX_LOG_MAGNITUDE = 7.0  # above the largest bin of a full-scale signal


class Vocoder(nn.Module):
    """Base class: forward(mel) maps natural-log mel [B, n_mels, frames] to a waveform [B, frames * hop_length]."""

    def forward(self, mel: Tensor) -> Tensor:
        raise NotImplementedError


class InverseSTFT(nn.Module):
    """Inverse of the front end's STFT: frame i centred at sample (i + 1/2) * hop_length, Hann window at both ends.

    One transposed convolution does the inverse real DFT and the overlap-add, so that it exports to ONNX. The basis is
    computed at each call, not stored: a graph that holds it would be larger by megabytes.
    """

    def __init__(self, n_fft: int, hop_length: int):
        super().__init__()
        self.n_fft, self.hop_length = n_fft, hop_length
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)
        self.register_buffer("cosine", torch.cos(torch.arange(n_fft) * (2 * math.pi / n_fft)), persistent=False)

    def forward(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """Both parts [B, n_fft // 2 + 1, frames]. Returns [B, frames * hop_length]."""
        n = torch.arange(self.n_fft, device=real.device)
        bins = torch.arange(self.n_fft // 2 + 1, device=real.device)[:, None]
        weight = torch.where((bins == 0) | (bins == self.n_fft // 2), 1.0, 2.0) / self.n_fft * self.window
        cosine = self.cosine[bins * n % self.n_fft] * weight
        sine = self.cosine[(bins * n + self.n_fft // 4) % self.n_fft] * weight  # -sin
        spectrum, basis = torch.cat([real, imaginary], 1), torch.cat([cosine, sine])[:, None]
        margin = (self.n_fft - self.hop_length) // 2
        signal = F.conv_transpose1d(spectrum, basis, stride=self.hop_length, padding=margin)
        ones = torch.ones_like(real[:1, :1])
        envelope = F.conv_transpose1d(ones, (self.window**2)[None, None], stride=self.hop_length, padding=margin)
        return (signal / envelope)[:, 0]


class _ConvNeXtBlock1d(nn.Module):
    """The block of Vocos: depthwise convolution over time, LayerNorm, pointwise MLP, layer scale. [B, width, F]."""

    def __init__(self, width: int, scale: float, kernel: int = 7, expansion: int = 3):
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).transpose(1, 2))
        return x + (self.scale * self.down(F.gelu(self.up(y)))).transpose(1, 2)


class VocosVocoder(Vocoder):
    """Vocos, with magnitudes predicted as a residual over what the mel itself says about them.

    The pseudo-inverse of the filterbank gives a first log-magnitude, smooth over the bins of a band and empty above
    f_max; the network corrects it and predicts phases, and the inverse STFT gives the waveform.
    """

    def __init__(self, config: VocoderConfig, mel: MelConfig):
        super().__init__()
        width = config.width
        self.mel = mel
        self.embed = nn.Conv1d(mel.n_mels, width, 7, padding=3)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.Sequential(*(_ConvNeXtBlock1d(width, 1 / config.layers) for _ in range(config.layers)))
        self.final_norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, mel.n_fft + 2)
        self.istft = InverseSTFT(mel.n_fft, mel.hop_length)
        inverse = torch.linalg.pinv(torch.tensor(mel_filterbank(mel), dtype=torch.float64)).float()
        self.register_buffer("inverse_filterbank", inverse)  # [bins, n_mels]
        nn.init.trunc_normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def forward(self, mel: Tensor) -> Tensor:
        cfg = self.mel
        x = self.embed((mel - cfg.scale_min) / (cfg.scale_max - cfg.scale_min) * 2 - 1)
        x = self.blocks(self.norm(x.transpose(1, 2)).transpose(1, 2))
        residual, phase = self.head(self.final_norm(x.transpose(1, 2))).transpose(1, 2).chunk(2, 1)
        floor = (self.inverse_filterbank @ mel.exp()).clamp(min=cfg.log_clamp)
        magnitude = (floor.log() + residual).clamp(max=MAX_LOG_MAGNITUDE).exp()
        return self.istft(magnitude * phase.cos(), magnitude * phase.sin())


class _ResBlock1(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.convs1 = nn.ModuleList(same_conv(channels, kernel, dilation) for dilation in dilations)
        self.convs2 = nn.ModuleList(same_conv(channels, kernel, 1) for _ in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for first, second in zip(self.convs1, self.convs2, strict=True):
            x = x + second(F.leaky_relu(first(F.leaky_relu(x, SLOPE)), SLOPE))
        return x


class _ResBlock2(nn.Module):
    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]):
        super().__init__()
        self.convs = nn.ModuleList(same_conv(channels, kernel, dilation) for dilation in dilations)

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = x + conv(F.leaky_relu(x, SLOPE))
        return x


class HiFiGAN(Vocoder):
    """HiFi-GAN generator (V1, V2 and V3 differ in the config only) with the parameter names of the public checkpoints,
    weight normalisation folded into the weights."""

    def __init__(self, config: VocoderConfig, mel: MelConfig):
        super().__init__()
        check_upsampling(config, mel)
        rates, kernels = config.upsample_rates, config.upsample_kernel_sizes
        blocks = {"1": _ResBlock1, "2": _ResBlock2}
        channels = [config.upsample_initial_channel // 2**i for i in range(len(rates) + 1)]
        shapes = list(zip(config.resblock_kernel_sizes, config.resblock_dilation_sizes, strict=True))
        self.conv_pre = nn.Conv1d(mel.n_mels, channels[0], 7, padding=3)
        self.ups = nn.ModuleList(
            nn.ConvTranspose1d(channels[i], channels[i + 1], kernel, rate, padding=(kernel - rate) // 2)
            for i, (rate, kernel) in enumerate(zip(rates, kernels, strict=True))
        )
        block = blocks[config.resblock]
        self.resblocks = nn.ModuleList(block(width, *shape) for width in channels[1:] for shape in shapes)
        self.conv_post = nn.Conv1d(channels[-1], 1, 7, padding=3)

    def forward(self, mel: Tensor) -> Tensor:
        x = self.conv_pre(mel)
        parallel = len(self.resblocks) // len(self.ups)
        for i, up in enumerate(self.ups):
            x = up(F.leaky_relu(x, SLOPE))
            x = sum(block(x) for block in self.resblocks[i * parallel : (i + 1) * parallel]) / parallel
        return self.conv_post(F.leaky_relu(x)).tanh()[:, 0]  # torch's default slope here, as published


def check_upsampling(config: VocoderConfig, mel: MelConfig) -> None:
    """Raise SmgError unless a generator of HiFi-GAN's shape makes `mel.hop_length` samples of a frame."""
    rates, kernels = config.upsample_rates, config.upsample_kernel_sizes
    if math.prod(rates) != mel.hop_length:
        raise SmgError(f"vocoder: upsample_rates {rates} do not multiply to hop_length {mel.hop_length}")
    if len(kernels) != len(rates) or any(k < u or (k - u) % 2 for k, u in zip(kernels, rates, strict=False)):
        raise SmgError(f"vocoder: upsample_kernel_sizes {kernels} do not fit upsample_rates {rates}")
    if config.upsample_initial_channel < 2 ** len(rates):
        raise SmgError(f"vocoder: upsample_initial_channel {config.upsample_initial_channel} is too few to halve it")
    if config.resblock not in ("1", "2"):
        raise SmgError(f"vocoder: resblock is {config.resblock!r}, expected '1' or '2'")
    if len(config.resblock_kernel_sizes) != len(config.resblock_dilation_sizes):
        raise SmgError("vocoder: resblock_kernel_sizes and resblock_dilation_sizes differ in length")


def same_conv(channels: int, kernel: int, dilation: int) -> nn.Conv1d:
    """A convolution of odd kernel that keeps the length."""
    return nn.Conv1d(channels, channels, kernel, dilation=dilation, padding=dilation * (kernel - 1) // 2)


def build_vocoder(config: VocoderConfig, mel_config: MelConfig) -> Vocoder:
    """The untrained model that `config.kind` names.

    Raises:
        SmgError: the kind has no model, or the sizes contradict each other.
    """
    from .bigvgan import BigVGAN

    kinds = {"vocos": VocosVocoder, "hifigan": HiFiGAN, "bigvgan": BigVGAN}
    if config.kind not in kinds:
        raise SmgError(f"vocoder: kind {config.kind!r} has no model; use one of: {', '.join(kinds)}")
    return kinds[config.kind](config, mel_config)
