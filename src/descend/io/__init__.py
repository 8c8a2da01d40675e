"""Files of any kind: written atomically, read with their contents checked."""
