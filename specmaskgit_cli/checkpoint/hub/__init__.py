"""Checkpoints on the Hugging Face Hub: names, transfer, upload, and models of other projects."""
