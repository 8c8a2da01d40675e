"""Settings gathered from a run's record, a configuration file and what was typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from descend.cli.config_file import read_config
from descend.cli.options import SETTINGS
from descend.errors import InputError, SettingsError, option_text
from descend.settings import IN_MEMORY, settings_from


def gather_settings(
    given: dict[str, Any], config: Path | None, like: Path | None, fixed: Mapping[str, Any] = {}
) -> Any:
    """Settings from a run's record, then `fixed`, a file, and what was typed; later ones win."""
    from descend.runs.folder import read_run_record

    options: dict[str, Any] = {}
    typed: dict[str, Any] = {}
    of_file: dict[str, Any] = {}
    if like is not None:
        record = read_run_record(like)
        measured = ("batch_size", "learning_rate")
        options.update(record["asked"], **{name: record["settings"][name] for name in measured})
        options.pop("store", None)  # A record must not make folders.
    options.update(fixed)
    if config is not None:
        found = read_config(config)
        try:
            of_file = _parse_config(found)
        except SettingsError as error:
            raise _in_file(config, error) from None
    others = {**options, **given}
    typed = {**of_file, **given}
    options.update(typed)
    validation = options.get("validation")
    if like is not None and isinstance(validation, str) and "validation" not in typed:
        from descend.data.reading.recorded_source import accept_recorded_source

        if validation == IN_MEMORY:
            raise InputError(
                f"The validation rows of the run {like} were in memory, and are gone. Type others "
                f"after {option_text('validation')}: a file, or a fraction such as 0.1."
            )
        accept_recorded_source(validation, record=str(like), named=None, option="validation")
    try:
        return settings_from(options)
    except SettingsError as error:
        if config is None or _refused(others) == str(error):
            raise
        raise _in_file(config, error) from None


def _in_file(config: Path, error: SettingsError) -> SettingsError:
    return SettingsError(f"{config} (named by {option_text('config')}): {error}")


def _refused(options: Mapping[str, Any]) -> str:
    """Why options cannot be used; empty if they can."""
    try:
        settings_from(options)
    except SettingsError as error:
        return str(error)
    return ""


def _parse_config(config: dict[str, Any]) -> dict[str, Any]:
    """The options of a file; quoted values are read as on the command line."""
    parsed = {}
    for key, value in config.items():
        option = SETTINGS.get(key.replace("-", "_"))
        parse = option.parse if option is not None and isinstance(value, str) else None
        parsed[key] = parse(value) if parse else value
    return parsed
