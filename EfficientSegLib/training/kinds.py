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
        OptionError: one is for slices, the other for volumes; the network has no output of its own for each label; or
            its outputs are independent, and recipe or network need a background.
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
        _check_independent(model, config)
    if reads_slices and model.num_outputs != len(labels):
        raise OptionError(
            f"The network {network!r} has {model.num_outputs} outputs for {len(labels)} labels.",
            why="A network of slices has a channel of its own for each label, and none for background.",
            mend='Set outputs of the bundle to "independent".',
        )


def _check_independent(model: nn.Module, config: TrainConfig) -> None:
    trains = getattr(recipe(config.recipe.name), "INDEPENDENT", False)
    if trains and not isinstance(model, GlobalLocalModel):
        return
    network = config.template.network.name
    raise OptionError(
        f"The outputs of bundle {config.template.name!r} are independent, the recipe is {config.recipe.name!r} and the "
        f"network {network!r}.",
        why="What looks at the whole volume first looks closer where background does not win, and independent outputs "
        "have none.",
        mend="Use recipe 'patch', a network of patches such as 'stp_unetr', and strategy 'sliding_window'; or leave "
        "outputs out of the bundle.",
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
