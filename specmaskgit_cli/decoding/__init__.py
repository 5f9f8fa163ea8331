"""The masked decoding core: which tokens to draw when, and how. Knows no audio, files, options or networks."""
