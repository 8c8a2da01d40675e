"""One update, compiled; and the one loop that makes a run of them."""
