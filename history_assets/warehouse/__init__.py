"""Where raw, clones and history live: one interface (``base``), one module per engine; the only SQL dialects in Python."""
