"""Sounds found by a text or by another sound, in the joint text-audio space of a model."""
