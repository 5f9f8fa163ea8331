"""What a sound is to be: embedding, style and contour, and the bank of known sounds."""
