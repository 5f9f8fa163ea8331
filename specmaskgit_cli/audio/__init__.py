"""Waveforms in and out: files, resampling, mel spectrograms, Griffin-Lim, levels and spectrogram images."""
