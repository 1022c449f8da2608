"""What fits together in a training: samples, recipe and network are all for volumes, or all for slices.

And patches: what the recipe cuts, the network reads and the strategy of the bundle to be reads later is one size.
"""

from typing import Any

from torch import nn

from EfficientSegLib import strategies
from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import GlobalLocalModel, SliceModel
from EfficientSegLib.networks.patch_size import refuse_size
from EfficientSegLib.training import recipe
from EfficientSegLib.training.config import TrainConfig, naming
from EfficientSegLib.training.samples import SliceBatch


def check_kinds(model: nn.Module, config: TrainConfig) -> None:
    """Refuse a network that the recipe cannot train, before any case is read.

    Raises:
        OptionError: one is for slices, the other for volumes; or the network has no output of its own for each label.
    """
    reads_slices = isinstance(model, SliceModel)
    network, labels = config.template.network.name, config.template.labels
    if reads_slices != (getattr(recipe(config.recipe.name), "TAKES", None) is SliceBatch):
        raise OptionError(
            f"The recipe {config.recipe.name!r} was given the network {network!r}.",
            why=f"The network reads {'slices' if reads_slices else 'volumes'}, the recipe trains on the other.",
            mend="Use recipe 'segmate' and samples 'slices' for a network of slices, and for no other.",
        )
    if not reads_slices and config.template.outputs == "independent":
        raise OptionError(
            f"The outputs of bundle {config.template.name!r} are independent, and the network is {network!r}.",
            why=f"The recipe {config.recipe.name!r} trains labels that exclude each other, and the background.",
            mend='Leave outputs out of the bundle, or write "exclusive".',
        )
    if reads_slices and model.num_outputs != len(labels):
        raise OptionError(
            f"The network {network!r} has {model.num_outputs} outputs for {len(labels)} labels.",
            why="A network of slices has a channel of its own for each label, and none for background.",
            mend='Set outputs of the bundle to "independent".',
        )


def check_patches(model: nn.Module, config: TrainConfig, options: Any) -> None:
    """Refuse a recipe or a strategy that the network's patches do not fit, before any case is read.

    Args:
        options: of the recipe.

    Raises:
        OptionError: the recipe trains another kind of network; its patches, or those of the strategy, are none that
            the network reads.
    """
    network = config.template.network.name
    has_overview = isinstance(model, GlobalLocalModel)
    if not isinstance(model, SliceModel) and has_overview != getattr(recipe(config.recipe.name), "OVERVIEW", False):
        raise OptionError(
            f"The recipe {config.recipe.name!r} was given the network {network!r}.",
            why="One has an overview of the whole volume, the other knows of patches only.",
            mend="Use recipe 'nmsw' or 'zoom_out' for the network 'nmsw', and 'patch' for a network of patches.",
        )
    if hasattr(options, "patch_size"):
        with naming("recipe"):
            refuse_size(options.patch_size, model, network)
    with naming("bundle.strategy"):
        strategies.check_model(config.template.strategy.name, config.template.strategy.options, model)
