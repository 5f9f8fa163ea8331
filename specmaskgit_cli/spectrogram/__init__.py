"""The front end: mel-spectrograms, the way back to waveforms, the envelope of bands, and pictures."""
