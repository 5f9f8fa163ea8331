"""How long sounds are made in windows of the size of the model."""

from __future__ import annotations

CONTEXT_COLUMNS = 13  # of a window past the first, already decided: about 2.4 s
MIN_COLUMNS = 2
