"""Networks from mel to waveform, one file each."""
