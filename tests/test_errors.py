import ast
import inspect
import re
import threading
from pathlib import Path

import pytest

import descend
from descend import errors
from descend.errors import command_line_words, command_text, option_text, parameters_named

EXCEPTIONS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, Exception) and not issubclass(value, Warning)
]


def test_exit_statuses_are_those_of_the_contract() -> None:
    assert {error.__name__: error.exit_status for error in EXCEPTIONS} == {
        "DescendError": 1,
        "InputError": 2,
        "DataError": 2,
        "SettingsError": 2,
        "FileFormatError": 2,
        "DivergedError": 3,
        "InterruptedRunError": 130,
        "LostProcessError": 130,
    }


@pytest.mark.parametrize("error", EXCEPTIONS)
def test_each_exception_is_ours_and_drawn_in_the_tree(error: type[Exception]) -> None:
    assert issubclass(error, errors.DescendError)
    assert error.__name__ in (errors.__doc__ or "")
    assert error.__doc__


def test_bad_input_is_a_value_error() -> None:
    assert issubclass(errors.InputError, ValueError)
    assert not issubclass(errors.DivergedError, ValueError)


@pytest.mark.parametrize(
    ("name", "value", "python", "typed"),
    [
        ("batch_size", None, "batch_size", "--batch-size"),
        ("batch_size", 64, "batch_size=64", "--batch-size 64"),
        ("batch_size", "all", "batch_size='all'", "--batch-size all"),
        ("hidden", (128, 64), "hidden=(128, 64)", "--hidden 128,64"),
        ("force", True, "force=True", "--force"),
        ("header", False, "header=False", "--no-header"),
        ("exclude", ["a", "b c"], "exclude=['a', 'b c']", "--exclude 'a,b c'"),
        ("exclude", ["a,b", "c"], "exclude=['a,b', 'c']", """--exclude '"a,b",c'"""),
        ("missing", ["?"], "missing=['?']", "--missing '?'"),
    ],
)
def test_an_option_is_named_as_the_caller_types_it(
    name: str, value: object, python: str, typed: str
) -> None:
    assert option_text(name, value) == python
    with command_line_words():
        assert option_text(name, value) == typed
    assert option_text(name, value) == python


def test_a_command_is_what_the_caller_types() -> None:
    assert command_text("resume", Path("my run")) == "descend.resume('my run')"
    with command_line_words():
        assert command_text("resume", Path("my run")) == "descend resume 'my run'"


def test_other_threads_of_the_command_line_use_its_words() -> None:
    found: list[str] = []
    with command_line_words():
        thread = threading.Thread(target=lambda: found.append(option_text("l2")))
        thread.start()
        thread.join()
    assert found == ["--l2"]


def test_an_estimator_has_names_of_its_own() -> None:
    with parameters_named({"epochs": "max_epochs"}):
        assert (option_text("epochs", 3), option_text("l2")) == ("max_epochs=3", "l2")
    assert option_text("epochs") == "epochs"


def test_only_the_command_line_types_options_in_its_texts() -> None:
    """Every other text names them by `option_text`, which knows who the caller is."""
    source = Path(descend.__file__).parent
    allowed = {
        source / "errors.py",
        source / "runtime" / "launch.py",
        source / "reporting" / "pages" / "play.py",
    }
    found = []
    for path in sorted(source.rglob("*.py")):
        if path.is_relative_to(source / "cli") or path in allowed:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        told = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        found += [
            f"{path.relative_to(source)}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in told
            and re.search(r"(?<![\w-])--[a-z]", node.value)
        ]
    assert not found
