"""Errors say what, why and how to mend, and survive the way through a queue."""

import pickle

import pytest

from EfficientSegLib import errors
from EfficientSegLib.errors import EfficientSegError

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EfficientSegError)]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_reads_as_what_why_mend(kind):
    error = kind("K is 40.", why="There are 30 patches.", mend="Choose 30 or fewer.")
    assert str(error) == "K is 40. There are 30 patches. Choose 30 or fewer."
    assert (error.what, error.why, error.mend) == ("K is 40.", "There are 30 patches.", "Choose 30 or fewer.")


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_the_same_after_pickling(kind):
    error = pickle.loads(pickle.dumps(kind("a.", why="b.", mend="c.")))
    assert type(error) is kind
    assert (error.what, error.why, error.mend) == ("a.", "b.", "c.")


def test_every_error_is_caught_by_the_one_base():
    assert len(KINDS) >= 7
    with pytest.raises(EfficientSegError):
        raise errors.VolumeError("a.", why="b.", mend="c.")


def test_an_error_without_why_or_mend_cannot_be_made():
    with pytest.raises(TypeError):
        EfficientSegError("only what")
