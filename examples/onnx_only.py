"""A sound from files that `smg export -o DIR` wrote: python onnx_only.py DIR "dog barking" out.wav [SECONDS]"""

import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # before the import: no device id, no events
import onnxruntime
import soundfile
from tokenizers import Tokenizer

folder, prompt, out, seconds = (*sys.argv[1:], "4")[:4]
config = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
mel, (patch, bands, levels) = config["mel"], (config["tokenizer"][k] for k in ("patch_frames", "patch_bands", "levels"))
rows, hop, size, samples = mel["n_mels"] // bands, mel["hop_length"], mel["n_fft"], float(seconds) * mel["sample_rate"]
columns = max(2, min(int(samples / (patch * hop)) + 1, config["generator"]["max_columns"]))  # at most one window
rng, filters, hann = np.random.default_rng(0), np.load(f"{folder}/mel_filters.npy"), np.hanning(size + 1)[:-1]
steps, guidance, gumbel, detail, margin, sessions = 16, 5.0, 4.5, 0.6, (size - hop) // 2, {}


def run(graph, **inputs):
    sessions[graph] = sessions.get(graph) or onnxruntime.InferenceSession(f"{folder}/{graph}.onnx")
    return sessions[graph].run(None, inputs)[0]


def stft(wave):  # [samples] to [frames, bins]
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(wave, margin, mode="reflect"), size)[::hop]
    return np.fft.rfft(frames * hann)


ids = np.array([Tokenizer.from_file(f"{folder}/text_tokenizer.json").encode(prompt).ids])
places = {name: slice(*ends) for name, ends in json.loads(Path(folder, "condition.json").read_text()).items()}
condition = np.zeros((2, places["guidance"].stop), np.float32)  # guidance stays 0: it is applied below
condition[:, places["embedding"]] = text = run("text_encoder", input_ids=ids, attention_mask=np.ones_like(ids))[0]
if Path(folder, "styles.npz").exists():  # contour and style of a known sound that is near the text
    bank = np.load(f"{folder}/styles.npz")
    near = np.argmax((bank["embeddings"] @ text)[bank["sounds"]] / 0.04 + rng.gumbel(size=len(bank["sounds"])))
    for name, told in (("contour", bank["contours"][near]), ("style", bank["styles"][near]), ("flag", [1])):
        condition[:, places[name]] = np.resize(told, condition[:, places[name]].shape[1])
codes, masked, dropped = np.zeros((rows * columns, levels), np.int64), np.ones(rows * columns, bool), np.arange(2) == 1
for left in np.linspace(1, 0, steps):  # each step decides the tokens that the model is surest of, most in the last
    grid, mask = codes.reshape(1, rows, columns, levels).repeat(2, 0), masked.reshape(1, rows, columns).repeat(2, 0)
    where, drawn = np.flatnonzero(masked), codes[masked]
    hidden = run("generator", tokens=grid, mask=mask, condition=condition, dropped=dropped, cells=np.stack([where] * 2))
    keep = max(1, len(where) - int(len(masked) * np.cos(np.pi / 2 * (1 + (1 - left) * (steps - 1)) / steps)))
    for level in range(levels if len(where) else 0):
        states, known = hidden.reshape(2 * len(where), -1), np.concatenate([drawn, drawn])
        against, scale = np.arange(len(where)) + len(where), np.full(len(where), guidance * (1 - left), np.float32)
        logits = run("head", hidden=states, codes=known, level=np.array(level), against=against, scale=scale)
        drawn[:, level] = np.argmax(logits / (detail if level else 1) + rng.gumbel(size=logits.shape), axis=1)
        if level == 0:
            sure = np.take_along_axis(logits, drawn[:, :1], 1)[:, 0] - np.log(np.exp(logits).sum(1))
            best = np.argsort(-sure - gumbel * left * rng.gumbel(size=len(sure)))[:keep]
            where, drawn, hidden = where[best], drawn[best], hidden[:, best]
    codes[where], masked[where] = drawn, False
noise = np.log(filters @ np.abs(stft(rng.standard_normal(columns * patch * hop))).T + mel["log_clamp"])
noise = ((noise - noise.mean(1, keepdims=True)) / (noise.std(1, keepdims=True) + 1e-6)).astype(np.float32)[None]
spectrogram = run("tokenizer_decoder", tokens=codes.reshape(1, rows, columns, levels), noise=noise)
if Path(folder, "vocoder.onnx").exists():
    wave = run("vocoder", mel=spectrogram)[0]
else:  # Griffin-Lim
    target, wave = np.exp(spectrogram[0].T) @ np.linalg.pinv(filters).T, rng.standard_normal(columns * patch * hop)
    for _ in range(32):
        frames = np.fft.irfft(np.maximum(target, 1e-8) * np.exp(1j * np.angle(stft(wave))), n=size) * hann / 1.5
        wave = sum(np.pad(frames[k::4].ravel(), (k * hop, (3 - k) * hop)) for k in range(4))[margin:-margin]
soundfile.write(out, 0.89 * (wave := wave[: int(samples)]) / max(1e-6, np.abs(wave).max()), mel["sample_rate"])
