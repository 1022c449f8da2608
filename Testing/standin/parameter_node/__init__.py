"""Stand-in for `slicer.parameterNodeWrapper`: typed attributes stored in a real vtkMRMLScriptedModuleNode.

Storage and words are those of `facts/parameter_node.json`, so a scene saved here means the same in Slicer.
"""

from .bindings import Decimals, SingleStep
from .parameters import Default, parameterPack
from .validators import (
    Choice,
    Exclude,
    IsInstance,
    Maximum,
    Minimum,
    NotNone,
    RangeBounds,
    Validator,
    WithinRange,
)
from .wrapper import SlicerParameterNamePropertyName, isParameterNodeWrapper, parameterNodeWrapper

__all__ = [
    "Choice",
    "Decimals",
    "Default",
    "Exclude",
    "IsInstance",
    "Maximum",
    "Minimum",
    "NotNone",
    "RangeBounds",
    "SingleStep",
    "SlicerParameterNamePropertyName",
    "Validator",
    "WithinRange",
    "isParameterNodeWrapper",
    "parameterNodeWrapper",
    "parameterPack",
]
