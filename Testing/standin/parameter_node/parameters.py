"""Typed parameters of a class, and the parameter pack: a class of typed members that is itself a parameter."""

import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .codecs import Codec, codec_for, split
from .containers import modifying


class Default:
    """An annotation that carries the default: a value, or a generator asked each time."""

    def __init__(self, value: Any = None, *, generator: Callable[[], Any] | None = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


@dataclass
class Parameter:
    """One attribute of a wrapper or a pack."""

    name: str
    hint: Any
    default: Default

    @property
    def codec(self) -> Codec:
        return codec_for(self.hint)


def parameters(kind: type) -> dict[str, Parameter]:
    found = {}
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        given = next((a for a in split(hint)[1] if isinstance(a, Default)), None)
        if name in vars(kind):
            given = Default(vars(kind)[name])
        found[name] = Parameter(name, hint, given or Default(generator=lambda hint=hint: codec_for(hint).default()))
    return found


def parameterPack(kind: type | None = None) -> Any:
    """Decorator: a class of typed members that may itself be a parameter."""
    if kind is None:
        return parameterPack
    kind.allParameters = parameters(kind)
    kind._is_parameter_pack = True
    for name in kind.allParameters:
        setattr(kind, name, _pack_member(name))

    def construct(self: Any, *args: Any, **keywords: Any) -> None:
        object.__setattr__(self, "_home", None)
        object.__setattr__(self, "_values", {n: p.default.value for n, p in kind.allParameters.items()})
        for name, value in {**dict(zip(kind.allParameters, args)), **keywords}.items():
            setattr(self, name, value)

    kind.__init__ = construct
    kind.__eq__ = lambda self, other: type(other) is kind and self._values == other._values
    kind.__hash__ = None
    kind.__repr__ = lambda self: f"{kind.__name__}({', '.join(f'{n}={v!r}' for n, v in self._values.items())})"
    kind.getValue = lambda self, name: walk(self, name)
    kind.setValue = lambda self, name, value: assign(self, name, value)
    kind.dataType = staticmethod(lambda name: hint_of(kind, name))
    return kind


def _pack_member(name: str) -> property:
    def write(self: Any, value: Any) -> None:
        codec = self.allParameters[name].codec
        codec.check(value)
        self._values[name] = value
        if self._home is not None:
            node, prefix = self._home
            with modifying(node):
                codec.write(node, f"{prefix}.{name}", value)

    return property(lambda self: self._values[name], write)


def walk(owner: Any, name: str) -> Any:
    for part in name.split("."):
        owner = getattr(owner, part)
    return owner


def assign(owner: Any, name: str, value: Any) -> None:
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, value)


def hint_of(kind: type, name: str) -> Any:
    first, _, rest = name.partition(".")
    if first not in kind.allParameters:
        raise ValueError(f"{kind.__name__} has no parameter {first!r}, only {', '.join(kind.allParameters)}.")
    hint = kind.allParameters[first].hint
    return hint_of(split(hint)[0], rest) if rest else hint
