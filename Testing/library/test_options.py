"""From JSON to options: what fits is converted, everything else is refused with the offending name."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options


@dataclass(frozen=True)
class Inner:
    size: int
    scale: float = 1.0


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 3
    rate: float = 0.5
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    shape: tuple[int, int, int] = (1, 1, 1)
    rest: tuple[float, ...] = ()
    inner: Inner | None = None
    limit: int | None = None
    share: float | None = None
    either: int | str = 0
    table: dict[str, Any] | None = None
    anything: Any = None

    def __post_init__(self):
        if self.count < 0:
            raise OptionError(f"count is {self.count}.", why="It counts.", mend="Give 0 or more.")


def test_what_is_left_out_takes_its_default():
    assert read_options(Outer, {"name": "x"}) == Outer("x")


@pytest.mark.parametrize(
    "field, given, read",
    [
        ("rate", 2, 2.0),
        ("shape", [4, 5, 6], (4, 5, 6)),
        ("rest", [1, 2.5], (1.0, 2.5)),
        ("rest", [], ()),
        ("inner", {"size": 2, "scale": 3}, Inner(2, 3.0)),
        ("inner", None, None),
        ("limit", None, None),
        ("limit", 4, 4),
        ("either", "all", "all"),
        ("kind", "b", "b"),
        ("flag", True, True),
        ("table", {"x": [1]}, {"x": [1]}),
        ("anything", [1, "two"], [1, "two"]),
    ],
)
def test_json_becomes_the_fields_type(field, given, read):
    found = getattr(read_options(Outer, {"name": "x", field: given}), field)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    "field, given",
    [
        ("name", 1),
        ("name", None),
        ("count", 1.5),
        ("count", True),
        ("count", "3"),
        ("rate", "0.5"),
        ("rate", True),
        ("flag", 1),
        ("kind", "c"),
        ("shape", [1, 2]),
        ("shape", [1, 2, 3, 4]),
        ("shape", [1, 2, "3"]),
        ("shape", 3),
        ("rest", [None]),
        ("inner", {"size": 1.5}),
        ("inner", 7),
        ("limit", 1.5),
        ("limit", False),
        ("either", 1.5),
        ("table", [1]),
    ],
)
def test_a_value_of_another_type_is_refused_by_name(field, given):
    with pytest.raises(OptionError, match=f"Option '{field}' is"):
        read_options(Outer, {"name": "x", field: given})


@pytest.mark.parametrize(
    "field, given, words",
    [
        ("name", 1, "a text"),
        ("count", 1.5, "a whole number"),
        ("rate", "fast", "a number"),
        ("flag", 1, "true or false"),
        ("kind", "c", "one of 'a', 'b'"),
        ("shape", 3, "a list of 3"),
        ("rest", 3, "a list"),
        ("inner", 7, "an object with size, scale, or null"),
        ("limit", "three", "a whole number, or null"),
        ("share", "half", "a number, or null"),
        ("either", 1.5, "a whole number or a text"),
        ("table", [1], "an object, or null"),
    ],
)
def test_what_a_value_must_be_is_said_in_plain_words(field, given, words):
    with pytest.raises(OptionError) as refused:
        read_options(Outer, {"name": "x", field: given})
    assert refused.value.why == f"It must be {words}."


def test_an_unknown_option_is_refused_and_the_known_ones_listed():
    with pytest.raises(OptionError, match="Unknown option 'top_q'.*Known: .*count.*name.*rate"):
        read_options(Outer, {"name": "x", "top_q": 1})


def test_an_unknown_option_of_a_nested_object_is_refused():
    with pytest.raises(OptionError):
        read_options(Outer, {"name": "x", "inner": {"size": 1, "colour": 2}})


def test_a_missing_option_is_named():
    with pytest.raises(OptionError, match="Option 'name' is missing"):
        read_options(Outer, {"count": 1})


def test_ranges_are_the_options_own_business():
    with pytest.raises(OptionError, match="count is -1"):
        read_options(Outer, {"name": "x", "count": -1})


@pytest.mark.parametrize("given", [None, [], "x", 3])
def test_what_is_no_object_is_refused(given):
    with pytest.raises(OptionError, match="must be an object"):
        read_options(Outer, given)
