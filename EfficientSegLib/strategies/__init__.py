"""How a whole volume is inferred: registry, and what every strategy takes and gives.

Every strategy file has a frozen dataclass `Options`, `check_model(model, options)`, which refuses what does not fit,
and `predict(volume (C, I, J, K), model, options, watcher) -> Prediction`, which begins with it. A strategy that can go
on from where an earlier run ended also takes that run's `Reading` as `earlier`, one whose patches can be chosen a
`Preference`.
"""

from dataclasses import dataclass, fields
from importlib import import_module
from inspect import signature
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from EfficientSegLib import networks
from EfficientSegLib.bundle import Component
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, PatchBox, ScoredBox
from EfficientSegLib.options import read_options
from EfficientSegLib.restore import LogitField

if TYPE_CHECKING:
    from torch import nn

    from EfficientSegLib.strategies.reading import Reading
    from EfficientSegLib.strategies.tokens import TokenDepths

STRATEGIES = {
    "nmsw": "EfficientSegLib.strategies.nmsw",
    "random_foreground": "EfficientSegLib.strategies.random_foreground",
    "slices": "EfficientSegLib.strategies.slices",
    "sliding_window": "EfficientSegLib.strategies.sliding_window",
    "zoom_out": "EfficientSegLib.strategies.zoom_out",
}


class PatchLogits(LogitField, Protocol):
    """A `LogitField` that knows how many patches it rests on; that number grows where regions are read lazily."""

    patches_read: int


@dataclass(frozen=True)
class Prediction:
    """Logits of the whole volume, and how they came about."""

    logits: PatchLogits
    patches: tuple[ScoredBox, ...]  # chosen, best first; boxes of the prepared volume; () where all are read
    candidates: int  # patches of the whole grid
    planned: int  # patches or slices that were to be read; complete once `logits.patches_read` is as many
    class_weights: tuple[float, ...] | None = None  # per channel
    reading: "Reading | None" = None  # what a run with more patches can go on from
    depths: "TokenDepths | None" = None  # grows with the patches read; None where the network has no tokens
    origin: Index = (0, 0, 0)  # of the volume, in the grid of `depths`
    prune_ratio: float | None = None  # of the tokens of this run


class Watcher:
    """Told what happens during a prediction; does nothing by itself."""

    def reads(self, reading: "Reading") -> None:
        """What the patches of this run will be added to; before `chosen`."""

    def chosen(self, patches: tuple[ScoredBox, ...], candidates: int, class_weights: tuple[float, ...] | None) -> None:
        """The patches to be read, before the first is."""

    def refined(self, logits: PatchLogits | None, box: PatchBox | None, read: int, total: int) -> None:
        """Patch number `read` of `total` was read.

        Args:
            logits: None where they are not to be asked for yet.
            box: what changed; None: everything, since they exist for the first time. `read` is then 0, or in a run
                that goes on what the earlier ones have read.
        """

    def searched(self, done: int, total: int) -> None:
        """A first pass, which leaves no labels, has looked at slice number `done` of `total`."""

    def moved(self, device: str, precision: str, why: str) -> None:
        """The memory of the model's device did not suffice: from now on it is another one; see `fallback`."""

    def warn(self, text: str) -> None:
        """Something odd that does not stop the run."""

    def should_stop(self) -> bool:
        """Asked before each patch; after True no patch is read any more."""
        return False


def check(name: str, options: dict[str, Any], network: Component | None = None) -> None:
    """Refuse an unknown strategy or options it does not know, and patches of a size that the network cannot read.

    Args:
        network: of the bundle; it is not built.

    Raises:
        OptionError: the strategy is unknown, or its options do not fit.
    """
    chosen = read_options(module(name).Options, options)
    size = getattr(chosen, "patch_size", None)
    if network is not None and size is not None:
        networks.check_patch(network.name, network.options, size)


def check_model(name: str, options: dict[str, Any], model: "nn.Module") -> None:
    """Refuse a model that a strategy cannot read with these options; nothing is read.

    Raises:
        OptionError: the strategy is unknown, its options are wrong, or they do not fit the model.
    """
    module(name).check_model(model, read_options(module(name).Options, options))


def knows(name: str, option: str) -> bool:
    """Whether a strategy has this option.

    Raises:
        OptionError: the strategy is unknown.
    """
    return option in {field.name for field in fields(module(name).Options)}


def unit(name: str) -> str:
    """What a strategy reads one by one: "patches" or "slices".

    Raises:
        OptionError: the strategy is unknown.
    """
    return getattr(module(name), "UNIT", "patches")


def reads_lazily(name: str) -> bool:
    """Whether a strategy reads only when its logits are asked for, in order of the last axis.

    Raises:
        OptionError: the strategy is unknown.
    """
    return getattr(module(name), "LAZY", False)


def can_continue(name: str) -> bool:
    """Whether a strategy can go on from where an earlier run ended.

    Raises:
        OptionError: the strategy is unknown.
    """
    return "earlier" in signature(module(name).predict).parameters


def takes_preference(name: str) -> bool:
    """Whether a strategy can be told what to read first, or alone.

    Raises:
        OptionError: the strategy is unknown.
    """
    return "preference" in signature(module(name).predict).parameters


def module(name: str) -> ModuleType:
    """The module of a strategy.

    Raises:
        OptionError: no strategy has this name.
    """
    if name not in STRATEGIES:
        raise OptionError(
            f"Unknown strategy {name!r}.",
            why=f"Known: {', '.join(sorted(STRATEGIES))}.",
            mend="Check strategy.name in bundle.json, or the strategy asked for.",
        )
    return import_module(STRATEGIES[name])


def wrong_model(strategy: str, fitting: str) -> OptionError:
    """The error of a strategy that was given a model it cannot use."""
    return OptionError(
        f"Strategy {strategy!r} cannot use this network.",
        why="The network offers other things.",
        mend=f"Use {fitting}.",
    )
