"""Without PyTorch the message says what to install."""

from __future__ import annotations

import pytest

import descend.torch
from descend.errors import InputError


def test_without_torch_the_message_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match="pip install torch"):
        descend.torch.advise(None, None, [])
