"""Read the options in a configuration file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from descend.errors import SettingsError, option_text
from descend.io.paths import named_path


def read_config(path: str | Path) -> dict[str, Any]:
    """The options in a TOML file, names as on the command line.

    Raises:
        SettingsError: the file is missing, cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(
            named_path(path, option_text("config")).read_text(encoding="utf-8-sig")
        )
    except FileNotFoundError:
        raise SettingsError(
            f"There is no file {path} (named by {option_text('config')})."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path} (named by {option_text('config')}) cannot be read: {error.strerror}."
        ) from None
    except RecursionError:
        raise SettingsError(
            f"{path} (named by {option_text('config')}) is nested too deep."
        ) from None
    except ValueError as error:
        long = "digits" in str(error)  # Python's message is advice for programmers.
        said = "a number in it has thousands of digits" if long else error
        raise SettingsError(
            f"{path} (named by {option_text('config')}) is not a TOML file: {said}"
        ) from None
