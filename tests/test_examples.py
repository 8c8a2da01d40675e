"""The examples run, and do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_the_convolution_reads_digits():
    accuracy = runpy.run_path(str(EXAMPLES / "1_convolution_on_images.py"))["main"]()
    assert accuracy > 0.85


def test_the_autoencoder_is_better_than_principal_components():
    found, straight = runpy.run_path(str(EXAMPLES / "2_autoencoder.py"))["main"]()
    assert found < straight


def test_every_example_is_tested():
    text = Path(__file__).read_text()
    assert all(example.name in text for example in EXAMPLES.glob("*.py"))
