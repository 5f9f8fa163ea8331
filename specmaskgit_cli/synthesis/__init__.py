"""From prompts to conditions, from conditions to tokens, from tokens to waveforms."""
