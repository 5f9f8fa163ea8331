"""Captioned clips: what training and evaluation read."""
