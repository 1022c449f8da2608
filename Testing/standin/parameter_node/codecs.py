"""How values of each type lie in a vtkMRMLScriptedModuleNode: text parameters and node references."""

import enum
import pathlib
import types
import typing
from collections.abc import Callable
from typing import Any

import slicer

from .containers import ObservedDict, ObservedList
from .validators import IsInstance, NotNone, Validator


class Codec:
    """How values of one type lie in a parameter node. The plain case: one text parameter."""

    def __init__(self, kind: Any, empty: Any, parse: Callable[[str], Any], accepted: Any = None) -> None:
        self.kind, self.empty, self.parse = kind, empty, parse
        self.checks: list[Validator] = [NotNone(), IsInstance(accepted or kind)]

    def default(self) -> Any:
        return self.empty

    def check(self, value: Any) -> None:
        for validator in self.checks:
            validator.validate(value)

    def is_in(self, node: Any, name: str) -> bool:
        return node.HasParameter(name)

    def write(self, node: Any, name: str, value: Any) -> None:
        self.check(value)
        self.store(node, name, value)

    def store(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, str(value))

    def read(self, node: Any, name: str) -> Any:
        return self.parse(node.GetParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)


class NodeCodec(Codec):
    """A node: a reference under the parameter's name, and an empty parameter that says it was set."""

    def __init__(self, kind: Any) -> None:
        super().__init__(kind, None, str)
        self.checks = [IsInstance(kind)]

    def store(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        super().remove(node, name)
        node.RemoveNodeReferenceIDs(name)


class NoneCodec(Codec):
    """The None of an Optional."""

    def __init__(self) -> None:
        super().__init__(type(None), None, lambda text: None)

    def check(self, value: Any) -> None:
        if value is not None:
            raise ValueError(f"{value!r} is not None")

    def store(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "True")


class SequenceCodec(Codec):
    """A list: `.len` and one entry per index."""

    def __init__(self, item: Codec) -> None:
        self.item = item
        super().__init__(list, None, str, (list, ObservedList))

    def default(self) -> list:
        return []

    def check(self, value: Any) -> None:
        super().check(value)
        for entry in value:
            self.item.check(entry)

    def is_in(self, node: Any, name: str) -> bool:
        return node.HasParameter(f"{name}.len")

    def store(self, node: Any, name: str, value: Any) -> None:
        values = list(value)
        self.remove(node, name)
        node.SetParameter(f"{name}.len", str(len(values)))
        for index, entry in enumerate(values):
            self.item.store(node, f"{name}.{index}", entry)

    def read(self, node: Any, name: str) -> Any:
        return ObservedList(self, node, name, [self.item.read(node, f"{name}.{i}") for i in self._range(node, name)])

    def remove(self, node: Any, name: str) -> None:
        for index in self._range(node, name):
            self.item.remove(node, f"{name}.{index}")
        node.UnsetParameter(f"{name}.len")

    def _range(self, node: Any, name: str) -> range:
        return range(int(node.GetParameter(f"{name}.len") or 0))


class MappingCodec(SequenceCodec):
    """A dict: a list of pairs, keys under `.0` and values under `.1`."""

    def __init__(self, key: Codec, value: Codec) -> None:
        super().__init__(TupleCodec((key, value)))
        self.checks = [NotNone(), IsInstance((dict, ObservedDict))]

    def default(self) -> Any:
        return {}

    def check(self, value: Any) -> None:
        for validator in self.checks:
            validator.validate(value)
        for pair in value.items():
            self.item.check(pair)

    def store(self, node: Any, name: str, value: Any) -> None:
        super().store(node, name, list(dict(value).items()))

    def read(self, node: Any, name: str) -> Any:
        return ObservedDict(self, node, name, dict(super().read(node, name)))


class TupleCodec(Codec):
    """A tuple: one entry per position."""

    def __init__(self, items: tuple) -> None:
        super().__init__(tuple, None, str)
        self.items = items

    def default(self) -> tuple:
        return tuple(item.default() for item in self.items)

    def check(self, value: Any) -> None:
        super().check(value)
        if len(value) != len(self.items):
            raise ValueError(f"Value must have {len(self.items)} entries, has {len(value)}")
        for item, entry in zip(self.items, value):
            item.check(entry)

    def is_in(self, node: Any, name: str) -> bool:
        return all(item.is_in(node, f"{name}.{i}") for i, item in enumerate(self.items))

    def store(self, node: Any, name: str, value: Any) -> None:
        for index, (item, entry) in enumerate(zip(self.items, value)):
            item.store(node, f"{name}.{index}", entry)

    def read(self, node: Any, name: str) -> tuple:
        return tuple(item.read(node, f"{name}.{i}") for i, item in enumerate(self.items))

    def remove(self, node: Any, name: str) -> None:
        for index, item in enumerate(self.items):
            item.remove(node, f"{name}.{index}")


class UnionCodec(TupleCodec):
    """A union: the entry of the member that holds the value, under that member's position."""

    def default(self) -> Any:
        return None if any(isinstance(item, NoneCodec) for item in self.items) else self.items[0].default()

    def check(self, value: Any) -> None:
        self._index(value)

    def _index(self, value: Any) -> int:
        reasons = []
        for index, item in enumerate(self.items):
            if value is None and isinstance(item, NodeCodec) and any(isinstance(i, NoneCodec) for i in self.items):
                continue
            try:
                item.check(value)
            except (TypeError, ValueError) as error:
                reasons.append(str(error))
            else:
                return index
        raise ValueError("; ".join(reasons))

    def is_in(self, node: Any, name: str) -> bool:
        return any(item.is_in(node, f"{name}.{i}") for i, item in enumerate(self.items))

    def store(self, node: Any, name: str, value: Any) -> None:
        self.remove(node, name)
        index = self._index(value)
        self.items[index].store(node, f"{name}.{index}", value)

    def read(self, node: Any, name: str) -> Any:
        return next(
            item.read(node, f"{name}.{i}") for i, item in enumerate(self.items) if item.is_in(node, f"{name}.{i}")
        )


class PackCodec(Codec):
    """A parameter pack: each member under `name.member`."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind, None, str)

    def default(self) -> Any:
        return self.kind()

    def is_in(self, node: Any, name: str) -> bool:
        return all(p.codec.is_in(node, f"{name}.{p.name}") for p in self.kind.allParameters.values())

    def store(self, node: Any, name: str, value: Any) -> None:
        for parameter in self.kind.allParameters.values():
            parameter.codec.store(node, f"{name}.{parameter.name}", getattr(value, parameter.name))

    def read(self, node: Any, name: str) -> Any:
        pack = self.kind()
        for parameter in self.kind.allParameters.values():
            pack._values[parameter.name] = parameter.codec.read(node, f"{name}.{parameter.name}")
        object.__setattr__(pack, "_home", (node, name))
        return pack

    def remove(self, node: Any, name: str) -> None:
        for parameter in self.kind.allParameters.values():
            parameter.codec.remove(node, f"{name}.{parameter.name}")


def codec_for(annotated: Any) -> Codec:
    """The codec of a type hint, validators of `Annotated` included; raises TypeError for types it cannot store."""
    kind, annotations = split(annotated)
    codec = _plain_codec(kind)
    # A rule without arguments may be named by its class alone.
    made = (a() if isinstance(a, type) and issubclass(a, Validator) else a for a in annotations)
    codec.checks = codec.checks + [rule for rule in made if isinstance(rule, Validator)]
    return codec


def _plain_codec(kind: Any) -> Codec:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return UnionCodec(tuple(NoneCodec() if arg is type(None) else codec_for(arg) for arg in args))
    if origin is list:
        return SequenceCodec(codec_for(args[0]))
    if origin is dict:
        return MappingCodec(*(codec_for(arg) for arg in args))
    if origin is tuple:
        return TupleCodec(tuple(codec_for(arg) for arg in args))
    if kind is bool:
        return Codec(bool, False, lambda text: text == "True")
    if kind is float:
        return Codec(float, 0, float, (int, float))
    if kind in (int, str):
        return Codec(kind, kind(), kind)
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        return Codec(kind, kind(), kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return EnumCodec(kind)
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return NodeCodec(kind)
    if getattr(kind, "_is_parameter_pack", False):
        return PackCodec(kind)
    raise TypeError(f"A parameter node cannot hold a {kind}.")


class EnumCodec(Codec):
    """An enum member, by its name."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind, next(iter(kind)), lambda text: kind[text])

    def store(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, value.name)


def split(annotated: Any) -> tuple[Any, tuple]:
    """A type hint without its annotations, and these."""
    if typing.get_origin(annotated) is typing.Annotated:
        return typing.get_args(annotated)[0], annotated.__metadata__
    return annotated, ()
