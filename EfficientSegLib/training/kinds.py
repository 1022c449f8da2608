"""What fits together in a training: samples, recipe and network are all for volumes, or all for slices."""

from torch import nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import SliceModel
from EfficientSegLib.training import recipe
from EfficientSegLib.training.config import TrainConfig
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
    if reads_slices and model.num_outputs != len(labels):
        raise OptionError(
            f"The network {network!r} has {model.num_outputs} outputs for {len(labels)} labels.",
            why="A network of slices has a channel of its own for each label, and none for background.",
            mend='Set outputs of the bundle to "independent".',
        )
