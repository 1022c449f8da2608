"""What a training begins with, where that is not chance: a bundle's weights, all or some of which are trained on."""

from dataclasses import dataclass

from torch import nn

from EfficientSegLib import bundle as bundles
from EfficientSegLib.errors import OptionError, TrainingError
from EfficientSegLib.segment import read_weights


@dataclass(frozen=True)
class Start:
    """A bundle to go on from, and how much of its network may change."""

    bundle: str  # its folder; a relative path begins at the current folder
    sha256: str  # of its weights: what a training begins with is part of what it is
    trained: tuple[str, ...] = ()  # beginnings of the names of parameters that are trained, others stay; (): all are


def begin(model: nn.Module, start: Start) -> None:
    """Give `model` the weights of a bundle, and freeze what is not to be trained; both in place.

    Raises:
        BundleError: the bundle is broken, or does not fit the model.
        TrainingError: its weights are not those that the training names.
        OptionError: no parameter has a name that is to be trained.
    """
    bundle = bundles.load(start.bundle)
    if bundle.weights.sha256 != start.sha256:
        raise TrainingError(
            f"The weights of {start.bundle} have checksum {bundle.weights.sha256[:12]}….",
            why=f"This training starts from {start.sha256[:12]}….",
            mend="Name the right bundle, or correct start.sha256: it is then another training.",
        )
    read_weights(bundle, model)
    if not start.trained:
        return
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(start.trained))
    if not any(parameter.requires_grad for parameter in model.parameters()):
        parts = ", ".join(sorted({name.split(".")[0] for name, _ in model.named_parameters()}))
        raise OptionError(
            f"start.trained is {', '.join(start.trained)}.",
            why="No parameter of the network has such a name.",
            mend=f"Use beginnings of names: {parts}.",
        )
