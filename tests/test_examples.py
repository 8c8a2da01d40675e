"""The examples run, and do what they say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.mark.slow
def test_the_convolution_reads_digits():
    accuracy = runpy.run_path(str(EXAMPLES / "1_convolution_on_images.py"))["main"]()
    assert accuracy > 0.85


@pytest.mark.slow
def test_the_autoencoder_is_better_than_principal_components():
    found, straight = runpy.run_path(str(EXAMPLES / "2_autoencoder.py"))["main"]()
    assert found < straight


def main_of(name: str, *needed: str):
    for one in needed:
        pytest.importorskip(one)
    return runpy.run_path(str(EXAMPLES / name))["main"]


@pytest.mark.slow
def test_a_network_with_batch_norm_and_dropout_reads_digits():
    assert main_of("3_batch_norm_and_dropout.py", "flax")() > 0.9


@pytest.mark.slow
def test_two_outputs_learn_together():
    accuracy, error = main_of("4_two_inputs_two_outputs.py")()
    assert accuracy > 0.88
    assert error < 0.45


@pytest.mark.slow
def test_a_frozen_trunk_is_unchanged():
    accuracy, frozen = main_of("5_frozen_trunk.py", "keras")()
    assert accuracy > 0.6
    assert frozen


@pytest.mark.slow
def test_quantiles_cover_what_they_should():
    assert 0.85 < main_of("6_quantiles.py", "flax")() < 0.95


@pytest.mark.slow
def test_a_loader_of_pytorch_is_read():
    assert main_of("7_pytorch_loader.py", "torch")() > 0.88


@pytest.mark.slow
def test_a_transformer_counts_tokens():
    assert main_of("8_transformer_on_sequences.py", "flax")() > 0.85


@pytest.mark.slow
def test_a_variational_autoencoder_knows_more_than_single_pixels():
    bound, alone = main_of("9_variational_autoencoder.py")()
    assert bound < alone - 1.5


@pytest.mark.slow
def test_a_lightning_module_gets_its_batch_size():
    assert main_of("10_lightning.py", "torch", "lightning")(budget=5.0) > 0.85


def test_every_example_is_tested():
    text = Path(__file__).read_text()
    assert all(example.name in text for example in EXAMPLES.glob("*.py"))
