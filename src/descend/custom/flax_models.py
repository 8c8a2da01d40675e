"""Flax modules, NNX and Linen, as pure functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from descend.custom.call_inputs import arguments_of, training_flags
from descend.custom.models import CustomModel, as_before, choose_leaves, copy_tree
from descend.errors import InputError
from descend.types import Array, Params, Variables

NOTES = ("intermediates", "perturbations")
"""Collections of Linen that hold what a call computed, by their usual names."""


def flax_model(model: Any, x: Any) -> CustomModel:
    """Turn an NNX module, which holds its weights, or a Linen module into a custom model.

    Args:
        model: the module.
        x: a few rows, of which a Linen module learns its shapes.
    """
    from flax import linen, nnx

    if isinstance(model, nnx.Module):
        return _nnx(model)
    if isinstance(model, linen.Module):
        flags, arguments = training_flags(model.__call__), arguments_of(model.__call__)

        def init(key: Array) -> Any:
            keys = dict(zip(("params", "dropout"), jax.random.split(key), strict=True))
            off: dict[str, Any] = {name: not value for name, value in flags.items()}
            inputs, named = arguments(x)
            return model.init(keys, *inputs, **named, **off)

        return _linen(model, init, model, x)
    raise InputError(f"Expected a Flax module, NNX or Linen; found {type(model).__name__}.")


def linen_functions(
    init: Callable[..., Any], apply: Callable[..., Any], x: Any
) -> CustomModel | None:
    """A custom model for `(init, apply)` if apply is a Linen module's method, else None.

    Args:
        init: of the user.
        apply: of the user.
        x: a few rows.
    """
    module = getattr(apply, "__self__", None)
    families = {base.__module__.split(".")[0] for base in type(module).__mro__}
    if "flax" not in families:
        return None
    from flax import linen

    if not isinstance(module, linen.Module) or getattr(apply, "__name__", "") != "apply":
        return None
    return _linen(module, init, (init, apply), x)


def _linen(module: Any, init: Callable[[Array], Any], model: Any, x: Any) -> CustomModel:
    """A Linen module: the collection `params` is trained, all others are state.

    But for collections in which a module only notes what it computes (`sow`, `perturb`): they hold
    the rows of a call, and are left out.
    """
    flags, arguments = training_flags(module.__call__), arguments_of(module.__call__)

    def begin(seed: int) -> Params:
        found = init(jax.random.key(seed))
        if not isinstance(found, Mapping):
            raise InputError(
                "Expected init(key) -> the variables of the Linen module, as module.init gives "
                f"them; found {type(found).__name__}."
            )
        variables = {name: _dicts(part) for name, part in found.items() if name not in NOTES}
        if "params" not in variables:
            # The weights by themselves, as some keep them.
            raise InputError(
                "Expected variables with the collection params, as module.init gives them; found "
                f"{', '.join(map(str, variables)) or 'none'}."
            )
        params = variables.pop("params")
        return copy_tree(Variables(params, _without_sown(called, params, variables, x)))

    def apply(variables: Params, x: Any) -> Any:
        off = {name: not value for name, value in flags.items()}
        inputs, named = arguments(x)
        return module.apply(
            {"params": variables.params, **variables.state}, *inputs, **named, **off
        )

    def called(params: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        # A stream that a module asks for and that is not here is made of that of params.
        keys = dict(zip(("dropout", "params"), jax.random.split(key), strict=True))
        inputs, named = arguments(x)
        outputs, after = module.apply(
            {"params": params, **state},
            *inputs,
            rngs=keys,
            mutable=list(state),
            **named,
            **flags,
        )
        return outputs, {**state, **_dicts(after)}

    def training_apply(params: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        outputs, after = called(params, state, x, key)
        return outputs, as_before(after, state)

    return CustomModel(
        init=begin,
        apply=apply,
        rebuilt=lambda variables: model,
        shown=lambda variables: {"params": variables.params, **variables.state},
        training_apply=training_apply,
        chosen=_choose_linen,
    )


def _without_sown(called: Callable[..., Any], params: Params, state: Any, x: Any) -> Any:
    """The collections of a Linen module but those to which each call appends, by `sow`.

    Args:
        called: `(params, state, x, key) -> (outputs, state)`.
        params: the weights.
        state: collections by name.
        x: a few rows.
    """
    if not _holds_tuples(state):
        return state  # To which `sow` appends.

    def form(tree: Any) -> str:
        return str(jax.tree.structure(tree))

    _, after = jax.eval_shape(called, params, state, x, jax.random.key(0))
    return {name: part for name, part in state.items() if form(after[name]) == form(part)}


def _holds_tuples(tree: Any) -> bool:
    if isinstance(tree, Mapping):
        return any(map(_holds_tuples, tree.values()))
    return isinstance(tree, tuple)


def _choose_linen(trainable: Any, weights: Params) -> list[bool]:
    """Booleans for the collection `params`, or for all variables, as `run.params` shows them."""
    if isinstance(trainable, Mapping) and "params" in trainable and "params" not in weights:
        trainable = trainable["params"]
    return choose_leaves(trainable, weights)


def _dicts(tree: Any) -> Any:
    return (
        {name: _dicts(part) for name, part in tree.items()} if isinstance(tree, Mapping) else tree
    )


def _nnx(model: Any) -> CustomModel:
    """An NNX module: `nnx.Param` is trained, all other variables are state.

    While it is trained it is in the mode in which it was given, which is training unless
    `model.eval()` was called; it predicts as after `model.eval()`. A call that takes `rngs` gets
    streams made of the key of each update; one that takes `train` or the like is told.
    """
    from flax import nnx

    flags, arguments = training_flags(model.__call__), arguments_of(model.__call__)
    off: dict[str, Any] = {name: not value for name, value in flags.items()}
    rngs = inspect.signature(model.__call__).parameters.get("rngs")
    needs_rngs = rngs is not None and rngs.default is inspect.Parameter.empty

    # Streams of random numbers are made anew of the key of each update.
    filters: Any = (nnx.Param, nnx.RngState, nnx.Intermediate, ...)
    parts: list[Any] = list(nnx.split(model, *filters))
    structure, params, random, _, rest = parts
    predicting = nnx.clone(model)
    predicting.eval()
    still = nnx.split(predicting, *filters)[0]
    # A state is a tree of one array or more; as plain dicts it can be saved by name.
    weights, held = (copy_tree(nnx.to_pure_dict(one)) for one in (params, rest))
    keys, key_structure = jax.tree.flatten(jax.tree.map(_copy_key, random))

    def merge(graph: Any, variables: Params, key: Array | None) -> Any:
        states = [jax.tree.map(lambda one: one, part) for part in (params, rest)]
        for state, values in zip(states, variables, strict=True):
            nnx.replace_by_pure_dict(state, values)
        streams = [
            one if key is None else _reseed(one, key, place) for place, one in enumerate(keys)
        ]
        return nnx.merge(graph, states[0], jax.tree.unflatten(key_structure, streams), states[1])

    def apply(variables: Params, x: Any) -> Any:
        given = {"rngs": nnx.Rngs(0)} if needs_rngs else {}
        inputs, named = arguments(x)
        return merge(still, variables, None)(*inputs, **named, **off, **given)

    def training_apply(weights: Params, state: Any, x: Any, key: Array) -> tuple[Any, Any]:
        called = merge(structure, Variables(weights, state), key)
        given = {} if rngs is None else {"rngs": nnx.Rngs(jax.random.fold_in(key, len(keys)))}
        inputs, named = arguments(x)
        outputs = called(*inputs, **named, **flags, **given)
        after = nnx.to_pure_dict(nnx.split(called, *filters)[-1])
        return outputs, as_before(after, state)

    return CustomModel(
        init=lambda seed: copy_tree(Variables(weights, held)),
        apply=apply,
        rebuilt=lambda variables: merge(structure, copy_tree(variables), None),
        shown=lambda variables: variables.params,
        training_apply=training_apply,
        has_weights=True,
        chosen=lambda trainable, weights: _choose_leaves(trainable, weights, params),
    )


def _choose_leaves(trainable: Any, weights: Params, variables: Any) -> list[bool]:
    """Booleans that say which weights an NNX filter selects; booleans are taken as they are."""
    from flax import nnx

    if isinstance(trainable, Mapping):
        return choose_leaves(trainable, weights)
    try:
        wanted = nnx.filterlib.to_predicate(trainable)
    except TypeError as error:
        raise InputError(
            "Expected trainable as a filter of NNX (a type of variable, nnx.PathContains(...), a "
            f"function of path and variable), or booleans in the form of the weights: {error}"
        ) from None
    found = {path: bool(wanted(path, one)) for path, one in nnx.to_flat_state(variables)}
    paths, _ = jax.tree_util.tree_flatten_with_path(weights)
    return [found[tuple(step.key for step in path)] for path, _ in paths]


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _copy_key(leaf: Any) -> Any:
    if not _is_key(leaf):
        return jnp.array(leaf, copy=True)
    data = jnp.array(jax.random.key_data(leaf), copy=True)
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))


def _reseed(leaf: Any, key: Array, place: int) -> Any:
    if not _is_key(leaf):
        return leaf
    own = jax.random.fold_in(key, place)
    return jax.random.split(own, leaf.shape) if leaf.shape else own
