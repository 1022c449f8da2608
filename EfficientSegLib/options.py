"""From a JSON object to a frozen options dataclass: unknown names and wrong types are refused."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeVar

from EfficientSegLib.errors import OptionError

T = TypeVar("T")
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", dict: "an object"}


def read_options(kind: type[T], given: Mapping[str, Any]) -> T:
    """Build the options dataclass `kind` from a JSON object.

    Lists become tuples where the field is a tuple, integers become floats where it is a float; nested
    dataclasses are read in the same way. Range checks belong to `kind.__post_init__`.

    Raises:
        OptionError: a name is unknown, a required one is missing, or a value has the wrong type.
    """
    if not isinstance(given, Mapping):
        raise OptionError(f"Options are {given!r}.", why="They must be an object of names and values.", mend="Use {}.")
    fields, hints = _described(kind)
    unknown = sorted(set(given) - set(fields))
    if unknown:
        raise OptionError(
            f"Unknown option {unknown[0]!r}.",
            why=f"Known: {', '.join(sorted(fields)) or 'none'}.",
            mend="Correct its name or remove it.",
        )
    missing = [name for name, field in fields.items() if name not in given and _is_required(field)]
    if missing:
        raise OptionError(f"Option {missing[0]!r} is missing.", why="It has no default.", mend="Give it a value.")
    return kind(**{name: _convert(name, value, hints[name]) for name, value in given.items()})


@lru_cache(maxsize=256)
def _described(kind: type) -> tuple[dict[str, dataclasses.Field], dict[str, Any]]:
    """Fields and types of an options class, by name; kept, since an event with thousands of boxes asks for each."""
    return {field.name: field for field in dataclasses.fields(kind)}, typing.get_type_hints(kind)


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(name: str, value: Any, hint: Any) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(name, value, arguments)
    if origin is typing.Literal:
        if value in arguments and not (isinstance(value, bool) and True not in arguments):
            return value
        raise _wrong(name, value, _in_words(hint))
    if origin is tuple:
        return _convert_tuple(name, value, arguments)
    if origin in (dict, Mapping) or hint is dict:
        if isinstance(value, Mapping):
            return dict(value)
        raise _wrong(name, value, _in_words(hint))
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else read_options(hint, value)
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and isinstance(value, hint) and (hint is bool or not isinstance(value, bool)):
        return value
    raise _wrong(name, value, _in_words(hint))


def _convert_union(name: str, value: Any, choices: tuple) -> Any:
    if value is None and type(None) in choices:
        return None
    for choice in choices:
        if choice is type(None):
            continue
        try:
            return _convert(name, value, choice)
        except OptionError:
            continue
    said = " or ".join(_in_words(choice) for choice in choices if choice is not type(None))
    raise _wrong(name, value, f"{said}, or null" if type(None) in choices else said)


def _convert_tuple(name: str, value: Any, arguments: tuple) -> tuple:
    if not isinstance(value, (list, tuple)):
        raise _wrong(name, value, _list_in_words(arguments))
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(name, item, arguments[0]) for item in value)
    if len(value) != len(arguments):
        raise _wrong(name, value, _list_in_words(arguments))
    return tuple(_convert(name, item, hint) for item, hint in zip(value, arguments, strict=True))


def _in_words(hint: Any) -> str:
    """What a value is to be, in the words of whoever edits the JSON file."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return "one of " + ", ".join(repr(choice) for choice in arguments)
    if origin is tuple:
        return _list_in_words(arguments)
    if origin in (dict, Mapping):
        return "an object"
    if dataclasses.is_dataclass(hint):
        return f"an object with {', '.join(_described(hint)[0])}"
    return WORDS.get(hint, str(hint))


def _list_in_words(arguments: tuple) -> str:
    return "a list" if len(arguments) == 2 and arguments[1] is Ellipsis else f"a list of {len(arguments)}"


def _wrong(name: str, value: Any, wanted: str) -> OptionError:
    return OptionError(f"Option {name!r} is {value!r}.", why=f"It must be {wanted}.", mend="Correct the value.")
