"""What a sound costs on this computer: time by stage, memory, against length, and against other programs."""
