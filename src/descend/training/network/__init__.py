"""The networks: how columns come in, layers, and the function from parameters to outputs."""
