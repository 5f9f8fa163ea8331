"""The masked decoding core: which tokens to draw when, and how. Pure arrays; knows no audio, files or networks."""

from .core import DecodeSettings, Predictor, decode

__all__ = ["DecodeSettings", "Predictor", "decode"]
