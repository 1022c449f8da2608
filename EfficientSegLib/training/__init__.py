"""Training: from cases to a bundle. The registry of recipes.

A recipe says what one sample costs. Its file has a frozen dataclass `Options` and
`losses(model, sample, options, progress, generator) -> dict[str, Tensor]`; the terms are added up by the loop.
"""

from importlib import import_module
from types import ModuleType

from EfficientSegLib.errors import OptionError

RECIPES = {
    "nmsw": "EfficientSegLib.training.recipes.nmsw",
    "patch": "EfficientSegLib.training.recipes.patch",
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
