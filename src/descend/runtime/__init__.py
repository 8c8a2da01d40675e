"""The life of a run while it trains: the loop, its callbacks, interrupts and diagnosis."""
