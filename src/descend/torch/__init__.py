"""Advice for a PyTorch model in a PyTorch loop: which batch size and learning rate to take."""

from descend.torch.advice import advise as advise
