"""Training: from cases to a bundle. The registry of recipes.

A recipe says what one sample costs. Its file has a frozen dataclass `Options` and
`losses(model, sample, options, progress, generator) -> dict[str, Tensor]`; the terms are added up by the loop. Where
they need what the bundle says of its labels, `fitted(options, channels)` makes the options that `losses` gets. `TAKES`
is the kind of sample, where that is no `samples.Sample`; `begin(model, options)` changes a new network before training.
`OVERVIEW` is True where it trains a network that looks at the whole volume first, `INDEPENDENT` where it also trains
volumes whose labels may overlap: samples that have `members`.
"""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any

from EfficientSegLib.bundle import Component
from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options

RECIPES = {
    "nmsw": "EfficientSegLib.training.recipes.nmsw",
    "patch": "EfficientSegLib.training.recipes.patch",
    "segmate": "EfficientSegLib.training.recipes.segmate",
    "zoom_out": "EfficientSegLib.training.recipes.zoom_out",
}


def recipe(name: str) -> ModuleType:
    """The module of a recipe.

    Raises:
        OptionError: the name is unknown.
    """
    if name not in RECIPES:
        raise OptionError(
            f"Unknown recipe {name!r}.", why=f"Known: {', '.join(sorted(RECIPES))}.", mend="Correct recipe.name."
        )
    return import_module(RECIPES[name])


def recipe_options(component: Component, channels: Mapping[int, int]) -> Any:
    """The options that a recipe's `losses` gets, for a bundle with these channels by label value.

    Raises:
        OptionError: the recipe or an option is unknown, or does not fit the bundle.
    """
    module = recipe(component.name)
    options = read_options(module.Options, component.options)
    return module.fitted(options, channels) if hasattr(module, "fitted") else options
