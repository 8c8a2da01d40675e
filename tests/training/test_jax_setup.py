"""How JAX is set up: forks are told, and sums are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend
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


@pytest.mark.parametrize("platform", ["cuda", "nosuch"])
def test_a_device_that_is_not_there_is_told_with_what_to_type(platform: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from descend.training.jax_setup import set_up; set_up()"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "JAX_PLATFORMS": platform},
        check=False,
    )
    if platform == "cuda" and not done.returncode:
        pytest.skip("there is such a device")
    assert "InputError: JAX cannot compute on what JAX_PLATFORMS=" in done.stderr
    assert "unset JAX_PLATFORMS" in done.stderr


def test_sums_over_broadcast_arrays_are_right_at_every_call() -> None:
    """XLA's library for sums counted rows twice, differently often from call to call."""
    total = jax_setup.jit_program(lambda x: jnp.sum(jnp.broadcast_to(x, (2, 1024, 1024))))
    ones = np.ones((1024, 1), np.float32)
    assert {float(total(ones)) for _ in range(20)} == {2.0 * 1024 * 1024}


def test_sums_over_the_last_axis_miss_no_row() -> None:
    rows = np.zeros((32_769, 3), np.float32)
    rows[:, 0] = np.arange(len(rows))

    def squares(x: Any) -> Any:
        return jax.vmap(lambda row: jnp.sum((jnp.eye(3) @ row) ** 2))(x)

    found = np.asarray(jax_setup.jit_program(squares)(rows), np.float64)
    assert np.allclose(found, rows[:, 0].astype(np.float64) ** 2, rtol=1e-6)


def test_all_programs_with_sums_leave_the_library_out() -> None:
    """`jax.jit` is for what `jit_program` cannot compile: parts of programs, and mere copies."""
    source = Path(descend.__file__).parent
    allowed = {
        "custom/export.py": 1,
        "training/convolutions.py": 1,
        "training/chunk_loop.py": 1,
        "training/device_feed.py": 1,
        "training/kernel.py": 1,
        "training/local_updates.py": 1,
        "training/processes/joining.py": 1,
        "training/processes/link.py": 1,
        "training/processes/messages.py": 1,
        "training/operations.py": 1,
        "training/resident_loop.py": 2,
        "training/state.py": 1,
        "training/jax_setup.py": 2,
        "runtime/same_work.py": 2,  # They are lowered, to be compared, and never compiled.
    }
    for path in source.rglob("*.py"):
        count = len(re.findall(r"jax\.jit\b(?!`)", path.read_text()))
        assert count == allowed.get(path.relative_to(source).as_posix(), 0), path


def test_another_thread_gets_the_settings_of_the_context() -> None:
    def kinds() -> tuple[str, object]:
        return str(jnp.zeros(1).dtype), jax.config.jax_default_matmul_precision

    with ThreadPoolExecutor(1) as pool:
        with jax.enable_x64(True), jax.default_matmul_precision("float32"):
            wanted = jax_setup.in_this_context(kinds)
        # They hold in the call alone, and whatever holds where it is waited for.
        found = [pool.submit(one).result() for one in (kinds, wanted, kinds)]
    assert found[1] == ("float64", "float32")
    assert found[0] == found[2] == ("float32", None)
