"""Finished sounds: how they are brought to level and length, and how their files tell how they were made."""
