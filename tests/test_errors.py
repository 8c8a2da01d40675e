import inspect

import pytest

from descend import errors

EXCEPTIONS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and not issubclass(value, Warning)
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
