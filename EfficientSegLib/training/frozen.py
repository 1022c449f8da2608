"""Parts of a network that are not trained for a while, and statistics that are kept while nobody trains them."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from EfficientSegLib.errors import OptionError
from EfficientSegLib.training import processes
from EfficientSegLib.training.processes import Place


@dataclass(frozen=True)
class Frozen:
    """A part of the network that stays as it is at the beginning of a training."""

    part: str  # name of a module, such as "encoder"; all inside it is meant
    share: float = 1.0  # of the training, from its start

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise OptionError(f"share of {self.part!r} is {self.share}.", why="It is a share.", mend="Use 0 to 1.")


class Freezer:
    """Freezes and thaws parameters as a training goes on."""

    def __init__(self, model: nn.Module, frozen: Sequence[Frozen]) -> None:
        """`model`: with what may be trained at all; the rest is left alone.

        Raises:
            OptionError: the network has no such part, or nothing would be trained.
        """
        self._shares = {}  # of each parameter that waits, the longest
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        for item in frozen:
            inside = [parameter for name, parameter in trained.items() if name.startswith(f"{item.part}.")]
            if not inside:
                parts = ", ".join(name for name, _ in model.named_children())
                raise OptionError(
                    f"frozen names {item.part!r}.",
                    why="No module of the network that could be trained has this name.",
                    mend=f"Use the name of a module: {parts}, or one inside these.",
                )
            for parameter in inside:
                self._shares[parameter] = max(item.share, self._shares.get(parameter, 0.0))
        if len(self._shares) == len(trained):
            raise OptionError(
                f"frozen is {', '.join(item.part for item in frozen)}.",
                why="Nothing would be trained.",
                mend="Leave a part of the network out.",
            )

    def update(self, progress: float) -> bool:
        """Freeze what waits at this progress, thaw the rest; returns whether anything has changed."""
        changed = False
        for parameter, share in self._shares.items():
            changed |= parameter.requires_grad != (progress >= share)
            parameter.requires_grad_(progress >= share)
        return changed


def train_mode(model: nn.Module) -> nn.Module:
    """Training mode, but for batch norms that are not trained: they use and keep their statistics. Returns `model`."""
    model.train()
    for norm in _norms_with_statistics(model):
        own = list(norm.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            norm.eval()
    return model


def agree_on_statistics(model: nn.Module, place: Place) -> None:
    """Give all processes the mean of their running statistics.

    Each process normalises by its own batch and would keep statistics of its own, so that a validation or a checkpoint
    depended on which process made it. This is done after every iteration and not only before those: the mean is the
    same either way, but only so a training that goes on from a checkpoint is the uninterrupted one bit for bit. The
    exchange is small beside that of the gradients.
    """
    norms = [norm for norm in _norms_with_statistics(model) if norm.training]
    if place.count == 1 or not norms:
        return
    own = [buffer for norm in norms for buffer in (norm.running_mean, norm.running_var)]
    for buffer, mean in zip(own, processes.average(own, place)):
        buffer.copy_(mean)


def _norms_with_statistics(model: nn.Module) -> list[_BatchNorm]:
    norms = (module for module in model.modules() if isinstance(module, _BatchNorm))
    return [norm for norm in norms if norm.track_running_stats and norm.running_mean is not None]
