"""Configure JAX: once, before the first array."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from descend.errors import InputError
from descend.io.paths import cache_folder
from descend.training.processes.starters import expected_processes
from descend.training.program_cache import tidy

P = ParamSpec("P")
T = TypeVar("T")

YNN_FUSIONS = "xla_cpu_experimental_ynn_fusion_type"
"""XLA's option that says which operations a processor leaves to the library YNNPACK."""
WITHOUT_SUMS = "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT,LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"
"""Products and convolutions, and not sums: see `jit_program`."""
FIRST_WITH_SUMS = (0, 10, 2)
"""The version of jaxlib from which on sums are left to the library, too."""


def set_up() -> None:
    """Make JAX ready, once in a process.

    Raises:
        InputError: the process was forked from one in which JAX was in use, or the device that
            the environment names is not there.
    """
    check_not_forked()
    _set_up()
    _check_platform()


_in_use = False
_forked = False


def _after_fork() -> None:
    global _forked  # noqa: PLW0603 - a fact of the process
    _forked = _in_use


os.register_at_fork(after_in_child=_after_fork)


def check_not_forked() -> None:
    """Raise InputError in a child of a process that has used JAX: there it would wait for ever.

    A fork copies the memory of JAX but not the threads that work on it.
    """
    if _forked:
        raise InputError(
            "This process was forked from one that has used descend, and JAX cannot go on in it. "
            "Start it with multiprocessing.get_context('spawn') (or 'forkserver'), or fork before "
            "descend is used."
        )


@functools.cache
def _check_platform() -> None:
    """Raise InputError if the environment names a kind of device that JAX does not have here.

    Where several processes are to join each other, they do so before JAX may look for devices.
    """
    named = os.environ.get("JAX_PLATFORMS")
    if not named or expected_processes() > 1:
        return
    import jax

    try:
        jax.default_backend()
    except (AssertionError, RuntimeError) as error:
        said = str(error).partition(" (set JAX_PLATFORMS")[0]
        raise InputError(
            f"JAX cannot compute on what JAX_PLATFORMS={named} names here"
            f"{f': {said}' if said else ''}. Type  unset JAX_PLATFORMS  for the device that JAX "
            "finds by itself. An NVIDIA GPU needs  pip install 'jax[cuda13]'"
        ) from None


@functools.cache
def _set_up() -> None:
    """Cache compiled programs in the user's cache folder, so that a second run starts at once.

    `JAX_COMPILATION_CACHE_DIR` names another folder; an empty one turns the cache off.
    """
    import jax

    global _in_use  # noqa: PLW0603 - a fact of the process
    _in_use = True
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") is not None:
        return
    folder = cache_folder() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    tidy(folder)
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def jit_program(function: Callable[P, T], **options: Any) -> Callable[P, T]:
    """`jax.jit` for a program that is not called within another one, with reliable sums on a CPU.

    Since jaxlib 0.10.2 XLA leaves sums on a processor to the library YNNPACK, which adds some of
    them wrongly and without a word: a sum over a broadcast array differs from call to call, a sum
    over the last axis may miss rows, and arrays of seven axes end the process (jax-ml/jax#39103,
    #39257, #40412). XLA's own sums take as long.

    Args:
        function: of arrays.
        options: of `jax.jit`.
    """
    import jax

    return jax.jit(function, compiler_options=_reliable_sums(), **options)


@functools.cache
def _reliable_sums() -> dict[str, str] | None:
    """The compiler options for them; None where they are not needed or not known."""
    from importlib.metadata import version

    import jax

    found = tuple(int(part) for part in version("jaxlib").split(".")[:3] if part.isdigit())
    if jax.default_backend() != "cpu" or found < FIRST_WITH_SUMS:
        return None
    if YNN_FUSIONS in os.environ.get("XLA_FLAGS", ""):
        return None
    options = {YNN_FUSIONS: WITHOUT_SUMS}
    try:
        jax.jit(lambda: 0, compiler_options=options).lower().compile()
    except jax.errors.JaxRuntimeError:  # A later XLA has no such option.
        return None
    return options


CONTEXTS = (
    *("enable_x64", "default_matmul_precision", "default_device", "default_prng_impl"),
    *("numpy_dtype_promotion", "numpy_rank_promotion", "threefry_partitionable"),
    *("debug_nans", "debug_infs", "disable_jit"),
)
"""Settings of JAX that hold for a thread within `with jax.enable_x64(True):` and the like."""


def in_this_context(function: Callable[P, T]) -> Callable[P, T]:
    """The function, to be called by another thread with the settings of JAX that hold here.

    JAX keeps for each thread what `with jax.enable_x64(True):` sets, so a new thread would compile
    a program of other types than the one that waits for it.
    """
    import jax

    values = {name: getattr(jax.config, f"jax_{name}") for name in CONTEXTS}

    @functools.wraps(function)
    def called(*arguments: P.args, **named: P.kwargs) -> T:
        with contextlib.ExitStack() as stack:
            for name, value in values.items():
                if getattr(jax.config, f"jax_{name}") != value:
                    stack.enter_context(getattr(jax, name)(value))
            return function(*arguments, **named)

    return called


def in_full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """The function, with float32 matrix products in full float32 precision on a GPU too.

    By default a GPU rounds the factors to a 10-bit mantissa (TF32). Updates have more noise than
    that, but what is reported and predicted should not depend on the device.
    """

    @functools.wraps(function)
    def called(*arguments: P.args, **named: P.kwargs) -> T:
        import jax

        with jax.default_matmul_precision("float32"):
            return function(*arguments, **named)

    return called


def describe_device() -> str:
    """Name of the device that updates run on, for records."""
    import jax

    device = jax.devices()[0]
    return f"{device.platform}: {device.device_kind}"


def versions() -> dict[str, str]:
    """Versions that the numbers of a run depend on, for records."""
    import platform
    import sys
    from importlib.metadata import version

    return {
        "python": platform.python_version(),
        "jax": version("jax"),
        "numpy": version("numpy"),
        "platform": sys.platform,
    }
