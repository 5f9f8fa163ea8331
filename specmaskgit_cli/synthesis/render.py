"""Tokens to mel to waveform, in pieces, so that memory stays bounded however long the sound is."""

from __future__ import annotations

import numpy as np

from ..audio.levels import crossfade
from ..runtime.base import Runtime
from ..spectrogram.griffin_lim import Known
from ..spectrogram.mel import noise_mel

MEL_SECONDS = 11.9  # of the token grid, decoded at a time
WAVE_SECONDS = 11.89  # of mel, vocoded at a time
OVERLAP_SECONDS = 0.19  # by which vocoded pieces overlap


def tokens_to_mel(runtime: Runtime, tokens: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Token grid int64 [rows, columns, levels] to natural-log mel float32 [n_mels, frames].

    Each piece is decoded with as many columns around it as the decoder can see, so that the result does not depend
    on where the grid was cut. `rng` draws the texture.
    """
    config = runtime.config
    patch, columns = config.tokenizer.patch_frames, tokens.shape[1]
    noise = noise_mel(rng, columns * patch, config.mel)
    context = config.tokenizer.decoder_layers * (config.tokenizer.kernel // 2) + 1
    pieces, size = [], config.columns(MEL_SECONDS)
    for start in range(0, columns, size):
        stop = min(start + size, columns)
        low, high = max(0, start - context), min(columns, stop + context)
        mel = runtime.decode_tokens(tokens[None, :, low:high], noise[None, :, low * patch : high * patch])[0]
        pieces.append(mel[:, (start - low) * patch : (stop - low) * patch])
    return np.concatenate(pieces, axis=1)


def mel_to_waveform(
    runtime: Runtime, mel: np.ndarray, rng: np.random.Generator, known: Known | None = None
) -> np.ndarray:
    """Natural-log mel [n_mels, frames] to waveform float32 [frames * hop_length], by the checkpoint's vocoder.

    `rng` and `known` as of `runtime.vocoder.Vocoder.vocode`.
    """
    cfg, frames = runtime.config.mel, mel.shape[1]
    hop, size = cfg.hop_length, cfg.frames(WAVE_SECONDS)
    pieces: list[np.ndarray] = []
    for start in range(0, frames, size):
        # The overlap reaches back into the last piece; a short rest joins it instead of being vocoded alone.
        low = max(0, start - cfg.frames(OVERLAP_SECONDS))
        stop = frames if frames - start < 2 * size else start + size
        piece = runtime.vocode(mel[:, low:stop], rng, known and known.cut(low, stop, hop))
        if pieces:
            overlap = (start - low) * hop
            joined = crossfade(pieces[-1][-overlap:], piece[:overlap], overlap)
            pieces[-1] = pieces[-1][:-overlap]
            piece = np.concatenate([joined, piece[overlap:]])
        pieces.append(piece)
        if stop == frames:
            break
    return np.concatenate(pieces)
