"""The decorator `parameterNodeWrapper` and the methods it gives to a class."""

from collections.abc import Callable
from typing import Any

import vtk

from .bindings import Binding, bind, bound_widgets
from .codecs import split
from .containers import modifying
from .parameters import Default, Parameter, assign, hint_of, parameters, walk

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Wrapper:
    """The methods that every wrapper class receives."""

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self._prefix = prefix or ""
        self._bindings: dict[int, tuple[list[Binding], int]] = {}
        self._next_tag = 0
        self._updating = False
        for parameter in self.allParameters.values():
            codec = parameter.codec
            if not codec.is_in(parameterNode, self._prefix + parameter.name):
                codec.write(parameterNode, self._prefix + parameter.name, parameter.default.value)

    def default(self, name: str) -> Default:
        hint_of(type(self), name)
        return self.allParameters[name].default

    def isCached(self, name: str) -> bool:
        hint_of(type(self), name)
        return True

    def getValue(self, name: str) -> Any:
        self.dataType(name)
        return walk(self, name)

    def setValue(self, name: str, value: Any) -> None:
        self.dataType(name)
        assign(self, name, value)

    def connectGui(self, gui: Any) -> int:
        """Bind every child widget that has the dynamic property SlicerParameterName."""
        return self.connectParametersToGui(bound_widgets(gui, SlicerParameterNamePropertyName))

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        bindings = [bind(name, widget, *split(self.dataType(name))) for name, widget in mapping.items()]
        for binding in bindings:
            binding.write(self.getValue(binding.name))
            binding.listen(lambda b=binding: self._from_gui(b))
        observer = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: self._to_gui())
        tag, self._next_tag = self._next_tag, self._next_tag + 1
        self._bindings[tag] = (bindings, observer)
        return tag

    def disconnectGui(self, tag: int) -> None:
        bindings, observer = self._bindings.pop(tag, ([], None))
        for binding in bindings:
            binding.listen(None)
        if observer is not None:
            self.RemoveObserver(observer)

    def _from_gui(self, binding: Binding) -> None:
        if not self._updating:
            with modifying(self.parameterNode):
                self.setValue(binding.name, binding.read())

    def _to_gui(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for bindings, _ in self._bindings.values():
                for binding in bindings:
                    binding.write(self.getValue(binding.name))
        finally:
            self._updating = False

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, before: int) -> int:
        return self.parameterNode.EndModify(before)

    def Modified(self) -> None:
        self.parameterNode.Modified()

    def AddObserver(self, event: Any, callback: Callable, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)


def parameterNodeWrapper(kind: type | None = None) -> Any:
    """Decorator: typed, checked attributes over a vtkMRMLScriptedModuleNode."""
    if kind is None:
        return parameterNodeWrapper
    kind.allParameters = parameters(kind)
    kind._is_parameter_node_wrapper = True
    for name, method in vars(_Wrapper).items():
        if name == "__init__" or not name.startswith("__"):
            setattr(kind, name, method)
    kind.dataType = staticmethod(lambda name: hint_of(kind, name))
    for name, parameter in kind.allParameters.items():
        setattr(kind, name, _attribute(parameter))
    return kind


def _attribute(parameter: Parameter) -> property:
    def read(self: Any) -> Any:
        return parameter.codec.read(self.parameterNode, self._prefix + parameter.name)

    def write(self: Any, value: Any) -> None:
        with modifying(self.parameterNode):
            parameter.codec.write(self.parameterNode, self._prefix + parameter.name, value)

    return property(read, write)


def isParameterNodeWrapper(thing: Any) -> bool:
    """Whether a class or an object is a parameter node wrapper."""
    return getattr(thing, "_is_parameter_node_wrapper", False)
