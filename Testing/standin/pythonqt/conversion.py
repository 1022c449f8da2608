"""How PythonQt turns Python values into C++ arguments and back, and the words with which it refuses.

PythonQt tries each overload twice: strictly (the type as it is), then leniently (any object to a string, any number
to another). PySide stands in for the strict round; the lenient one is written here.
"""

import enum
import inspect
import math
import operator
import types
import typing
from collections.abc import Iterable

import shiboken6
from shibokensupport.signature import get_signature

CPP_NAMES = {str: "QString", float: "double", typing.Any: "QVariant", object: "QVariant", bytes: "QByteArray"}


class Refused(Exception):
    """A value does not fit a parameter."""


class Parameter(typing.NamedTuple):
    """One argument of a C++ function: its Python types (None left out) and its name, empty when unnamed."""

    types: tuple
    name: str

    @property
    def cpp_name(self) -> str:
        kind = self.types[0] if self.types else typing.Any
        origin = typing.get_origin(kind)
        if origin is not None and issubclass(origin, Iterable):
            return "QStringList" if typing.get_args(kind)[:1] == (str,) else "QList"
        if kind in CPP_NAMES:
            return CPP_NAMES[kind]
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return kind.__qualname__.replace(".", "::")
        return getattr(kind, "__name__", str(kind))


class Overload(typing.NamedTuple):
    """One callable form of a function."""

    parameters: tuple
    result: str

    def text(self, name: str) -> str:
        """PythonQt's way of writing a signature: types without const, & and *."""
        inside = ", ".join(f"{p.cpp_name} {p.name}".strip() for p in self.parameters)
        return f"{name}({inside}) -> {self.result}"


def overloads(function: typing.Any, constructor: str = "") -> list[Overload]:
    """The forms of a function in PythonQt's order: by C++ signature, each followed by those its defaults allow."""
    signatures = get_signature(function) or []
    signatures = signatures if isinstance(signatures, list) else [signatures]
    found = []
    for signature in signatures:
        parameters = [p for p in signature.parameters.values() if p.name != "self" and p.kind != p.KEYWORD_ONLY]
        least = sum(p.default is inspect.Parameter.empty for p in parameters)
        full = tuple(_parameter(p) for p in parameters)
        result = constructor or _result_name(signature.return_annotation)
        found.append([Overload(full[:count], result) for count in range(len(full), least - 1, -1)])
    found.sort(key=lambda forms: [_cpp_order(p) for p in forms[0].parameters])
    return [form for forms in found for form in forms]


def _parameter(parameter: inspect.Parameter) -> Parameter:
    types = _members(parameter.annotation)
    return Parameter(types, "" if parameter.name.startswith("arg__") else parameter.name)


def _members(annotation: typing.Any) -> tuple:
    """The alternatives of a union, without None."""
    parts = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    return tuple(part for part in parts if part not in (type(None), None))


def _is_union(annotation: typing.Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _result_name(annotation: typing.Any) -> str:
    if annotation in (None, type(None), inspect.Signature.empty):
        return "void"
    return Parameter(_members(annotation), "").cpp_name


def _cpp_order(parameter: Parameter) -> str:
    """The spelling by which the generator of PythonQt's wrappers sorts: values are `const X&`, objects `X*`."""
    name = parameter.cpp_name
    kind = parameter.types[0] if parameter.types else None
    by_value = kind is str or (type(kind) is type(shiboken6.Object) and not hasattr(kind, "staticMetaObject"))
    return f"const {name}&" if by_value else name


def plain(value: typing.Any) -> typing.Any:
    """numpy's numbers as Python's own; everything else unchanged."""
    if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        return value.item()
    return value


def to_text(value: typing.Any) -> str:
    """What PythonQt makes of any object where a QString is wanted: None becomes 'None'."""
    return value if isinstance(value, str) else str(value)


def to_number(value: typing.Any) -> float:
    """A number from a number; text and None are refused."""
    if isinstance(value, (str, bytes)) or value is None:
        raise Refused
    try:
        return operator.index(value) if hasattr(value, "__index__") else float(value)
    except (TypeError, ValueError) as error:
        raise Refused from error


def convert(parameter: Parameter, value: typing.Any, strict: bool) -> typing.Any:
    """One argument as the parameter wants it; raises Refused."""
    kinds = parameter.types
    if not kinds or typing.Any in kinds or object in kinds:
        return value
    plain_types = [kind for kind in kinds if isinstance(kind, type)]
    if value is None:
        if strict and kinds[0] in (str, int, float, bool):
            raise Refused
        return "None" if kinds[0] is str else _none_or_refused(kinds[0])
    if any(issubclass(type(value), kind) for kind in plain_types) and not (bool in kinds and isinstance(value, float)):
        return value
    if strict:
        if not plain_types or any(type(kind) is type(shiboken6.Object) for kind in kinds):
            return value  # implicit conversions are PySide's to judge
        raise Refused
    first = kinds[0]
    if first is str:
        return to_text(value)
    if first is bool:
        return bool(value)
    if first is int:
        return math.floor(to_number(value))
    if first is float:
        return float(to_number(value))
    if isinstance(first, type) and issubclass(first, enum.Enum):
        return first(int(to_number(value)))
    return value


def _none_or_refused(kind: typing.Any) -> bool | None:
    if kind in (int, float):
        raise Refused
    return False if kind is bool else None


def call(function: typing.Any, bound: tuple, args: tuple, name: str, described_by: typing.Any = None) -> typing.Any:
    """Call a PySide function by PythonQt's rules.

    Args:
        function: the raw PySide callable.
        bound: leading arguments that are not the caller's (self).
        args: the caller's arguments.
        name: what messages call the function.
        described_by: what carries the signatures: the class that is made, or the unbound method.

    Raises:
        ValueError: no overload takes these arguments; the words are PythonQt's.
    """
    args = tuple(plain(arg) for arg in args)
    # None and floats: PySide takes them where PythonQt converts them in ways of its own.
    if not any(arg is None or type(arg) is float for arg in args):
        try:
            return function(*bound, *args)
        except (TypeError, OverflowError) as error:
            if not _is_argument_error(error):
                raise
    forms = _forms(described_by or function)
    for strict in (True, False):
        for form in forms:
            if len(form.parameters) != len(args):
                continue
            try:
                given = [convert(p, arg, strict) for p, arg in zip(form.parameters, args)]
                return function(*bound, *given)
            except (Refused, TypeError, OverflowError, ValueError):
                continue
    raise ValueError(wrong_arguments(forms, name, args))


def _forms(described_by: typing.Any) -> list[Overload]:
    return overloads(described_by, described_by.__name__ if isinstance(described_by, type) else "")


def _is_argument_error(error: Exception) -> bool:
    """PySide's own complaint about arguments, not one from Python code that the call ran."""
    return error.__traceback__ is not None and error.__traceback__.tb_next is None


def takes(function: typing.Callable, count: int) -> bool:
    """Whether a Python function can be called with this number of arguments."""
    code = function.__code__
    least = code.co_argcount - len(function.__defaults__ or ())
    return bool(code.co_flags & inspect.CO_VARARGS and count >= least) or least <= count <= code.co_argcount


def wrong_arguments(forms: list[Overload], name: str, args: tuple) -> str:
    """PythonQt's sentence for arguments that fit nowhere."""
    if len(forms) > 1:
        listed = "".join(form.text(name) + "\n" for form in forms)
        refusal = f"Could not find matching overload for given arguments:\n{args}"
        return f"{refusal}\n The following slots are available:\n{listed}"
    signature = forms[0].text(name) if forms else f"{name}()"
    number = "number of " if forms and len(forms[0].parameters) != len(args) else ""
    return f"Called {signature} with wrong {number}arguments: {args}"


def no_keywords(described_by: typing.Any, name: str) -> ValueError:
    """PythonQt's refusal of keyword arguments."""
    forms = _forms(described_by)
    signature = forms[0].text(name) if forms else f"{name}()"
    return ValueError(f"Called {signature} with keyword arguments, but called slot does not support kwargs.")


def to_python(value: typing.Any) -> typing.Any:
    """A C++ result as PythonQt hands it over: every list is a tuple."""
    if type(value) is list:
        return tuple(to_python(item) for item in value)
    return value


def property_value(type_name: str, value: typing.Any) -> typing.Any:
    """A value on its way into a meta-object property of the C++ type `type_name`; raises Refused."""
    value = plain(value)
    if type_name == "QString":
        return to_text(value)
    if type_name == "bool":
        return bool(value)
    if type_name in ("int", "uint", "qlonglong", "qulonglong"):
        return math.floor(to_number(value))
    if type_name in ("double", "float"):
        return float(to_number(value))
    if type_name == "QStringList":
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            raise Refused
        return [to_text(item) for item in value]
    if isinstance(value, enum.Enum):
        return int(value)
    return value
