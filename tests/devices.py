"""Programs on several devices of one process, which stand for several processes."""

from __future__ import annotations

import os
import subprocess
import sys


def run_on_devices(program: str, count: int) -> str:
    """What a Python program prints where JAX has `count` devices on the CPU.

    An error of the program is added, so that a comparison that fails shows it.
    """
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ
        | {
            "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}",
            "JAX_PLATFORMS": "cpu",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + (done.stderr[-3000:] if done.returncode else "")
