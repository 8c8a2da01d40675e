"""A child of a fork is told, and does not wait for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

from descend.training import jax_setup

FORKED = """
import os, sys, numpy as np, jax.numpy as jnp, descend
model = (lambda key: jnp.zeros((3, 1)), lambda params, x: x @ params)
data = (np.ones((40, 3)), np.ones(40))
run = descend.fit(model, data, batch_size=8, learning_rate=0.1, epochs=1)
calls = [
    lambda: descend.fit(model, data, batch_size=8, learning_rate=0.1, epochs=1),
    lambda: run.predict(data[0]),
    lambda: descend.advise(data, model=model),
    lambda: descend.train(data, batch_size=8, learning_rate=0.1, epochs=1),
]
for call in calls:
    child = os.fork()
    if not child:
        try:
            call()
        except descend.InputError as error:
            os._exit(7 if "spawn" in str(error) else 8)
        os._exit(9)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_children_of_a_fork_are_told_to_spawn() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKED],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == ["7"] * 4


def test_a_process_that_was_not_forked_is_fine() -> None:
    jax_setup.set_up()
    jax_setup.check_not_forked()
