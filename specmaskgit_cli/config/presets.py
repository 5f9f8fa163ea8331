"""The model sizes that can be trained: `small` is what ships, `paper` is the configuration of SpecMaskGIT (arXiv
2406.17672, section 4)."""

from __future__ import annotations

from .settings import (
    CheckpointConfig,
    EmbedderConfig,
    EnvelopeConfig,
    GeneratorConfig,
    MelConfig,
    TokenizerConfig,
    VocoderConfig,
)

PRESETS: dict[str, CheckpointConfig] = {
    "full": CheckpointConfig(
        name="full",
        mel=MelConfig(sample_rate=44100, n_mels=96, f_max=22050.0),
        tokenizer=TokenizerConfig(
            patch_frames=32, width=384, encoder_layers=3, decoder_layers=6, levels=12, texture_layers=2, cell_frames=8
        ),
        generator=GeneratorConfig(width=256, layers=6, heads=4, style_dims=32, contour_steps=4),
        envelope=EnvelopeConfig(width=192),
    ),
    # For a GPU: the same front end and tokenizer, a larger generator.
    "large": CheckpointConfig(
        name="large",
        mel=MelConfig(sample_rate=44100, n_mels=96, f_max=22050.0),
        tokenizer=TokenizerConfig(
            patch_frames=32, width=384, encoder_layers=3, decoder_layers=6, levels=12, texture_layers=2, cell_frames=8
        ),
        generator=GeneratorConfig(width=384, layers=6, heads=6, dropout=0.1, style_dims=32, contour_steps=4),
        envelope=EnvelopeConfig(width=192),
    ),
    "small": CheckpointConfig(
        name="small",
        tokenizer=TokenizerConfig(texture_layers=2),
        generator=GeneratorConfig(style_dims=32, contour_steps=4),
        envelope=EnvelopeConfig(width=192),
    ),
    "paper": CheckpointConfig(
        name="paper",
        tokenizer=TokenizerConfig(
            levels=1, codebook_dim=256, width=512, encoder_layers=8, decoder_layers=12, texture_layers=2
        ),
        generator=GeneratorConfig(
            width=768,
            layers=24,
            heads=8,
            mlp_ratio=4.0,
            dropout=0.1,
            condition_dim=512,
            modulation=False,
            max_columns=53,
        ),
        embedder=EmbedderConfig(dim=512),
        vocoder=VocoderConfig(kind="vocos", width=512, layers=8),
        envelope=EnvelopeConfig(width=192),
    ),
    # Seconds to train: for tests and for trying the training commands.
    "tiny": CheckpointConfig(
        name="tiny",
        tokenizer=TokenizerConfig(
            width=32,
            encoder_layers=1,
            decoder_layers=1,
            codebook_size=64,
            codebook_dim=8,
            levels=2,
            texture_channels=4,
            texture_layers=1,
        ),
        generator=GeneratorConfig(width=32, layers=2, heads=2, style_dims=4, contour_steps=2),
        embedder=EmbedderConfig(width=8, layers=2),
        vocoder=VocoderConfig(width=32, layers=2),
        envelope=EnvelopeConfig(width=16, layers=2, bands=32, dropout=0.0),
    ),
}
