"""How good a model is and what it uses, measured on a sample of rows once training is over."""
