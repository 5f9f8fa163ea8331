"""Measurements of a model, each a command that anyone can run again."""
