"""Read a model from its file, and check that it is one."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from descend.data.schema.columns import Schema, schema_from_json
from descend.errors import FileFormatError, InputError
from descend.io.json_records import read_as
from descend.model.model import Model
from descend.runs.model_file import load_model_file
from descend.settings import settings_from
from descend.training.intervals import Calibration


def load(path: str | Path) -> Model:
    """Read a model from its file.

    Raises:
        InputError: it is the file of a custom model.
        FileFormatError: the file is truncated, altered, or of a newer version.
    """
    params, metadata = load_model_file(Path(path))
    if metadata.get("kind") == "own":
        raise InputError(
            f"{path} holds the weights of a custom model, which only your program can build. Call "
            "descend.fit again with the folder of the run as out and with resume=True; a run that "
            "is finished comes back as it is, with predict and export."
        )
    try:
        description = read_as(Description, metadata)
        schema = schema_from_json(description.schema)
        settings = settings_from(description.settings)
        model = Model(schema, settings, params, _calibration(description, schema))
        _check_weights(model)
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(
            f"{path} is not a usable model: its description is damaged ({error}). Train it again."
        ) from error
    return model


class Description(Struct):
    """What the file of a model says of it.

    Attributes:
        schema: as `Schema.as_json` gives it.
        settings: resolved.
        calibration: as `Calibration` has it, or None.
    """

    schema: dict[str, Any]
    settings: dict[str, Any]
    calibration: dict[str, Any] | None = None


def _calibration(description: Description, schema: Schema) -> Calibration | None:
    """Raise ValueError where it is not that of the targets."""
    if description.calibration is None:
        return None
    found = read_as(Calibration, description.calibration)
    lengths = {len(scores) for scores in found.scores}
    targets = len(schema.target.names)
    if not len(found.scores) == targets == len(found.constant) or len(lengths) > 1:
        raise ValueError("the calibration is not that of the targets")
    return found


def _check_weights(model: Model) -> None:
    """Raise ValueError where the weights are not those of the network that the settings name."""
    import jax

    from descend.training.build import loss_for_task
    from descend.training.network.bins import from_params
    from descend.training.network.from_settings import network_of
    from descend.training.network.tabular import FIXED
    from descend.training.several_networks import unstack

    if model.settings.loss != loss_for_task(model.settings.loss, model.schema.task):
        raise ValueError(f"loss {model.settings.loss!r}")
    bins = None
    if model.settings.model == "tabular":
        bins = from_params(model.params[FIXED], len(model.encoder.numeric_names))
    expected = network_of(model.settings, model.schema, model.encoder, bins).init(0)
    networks = unstack(model.params)
    form, *found = (
        [
            (jax.tree_util.keystr(place, simple=True, separator="/"), leaf.shape, str(leaf.dtype))
            for place, leaf in jax.tree_util.tree_flatten_with_path(params)[0]
        ]
        for params in (expected, *networks)
    )
    for one in found:
        if form != one:
            pairs = itertools.zip_longest(form, one)
            here, there = next((here, there) for here, there in pairs if here != there)
            raise ValueError(f"expected the weights {here}, found {there}")
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(model.params)):
        raise ValueError("a weight is not a finite number")
