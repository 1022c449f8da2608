"""What one run cost in multiply-adds: the network's passes, counted by `cost.py`, times how often it was passed."""

from collections.abc import Callable

from torch import nn

from EfficientSegLib import networks
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.evaluation.cost import Cost, count, count_nmsw
from EfficientSegLib.evaluation.slice_cost import count_slice_volume
from EfficientSegLib.geometry import Index
from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.segment import Segmentation
from EfficientSegLib.strategies import slices, sliding_window
from EfficientSegLib.strategies.tokens import pruning, token_model

OVERVIEW_AND_PATCHES = ("nmsw", "random_foreground", "zoom_out")  # one global pass, then local ones of one size


class RunCost:
    """Counts the runs of one bundle; the same passes are counted once."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle
        self._plain: nn.Module | None = None
        self._passes: dict[tuple, Cost] = {}

    def of(self, strategy: str, options: object, done: Segmentation) -> Cost | None:
        """Cost of a finished run; None for a strategy whose passes are not known here."""
        if strategy in OVERVIEW_AND_PATCHES:
            shape, ratio = done.prepared_shape, options.prune_ratio
            overview = self._cost(("nmsw", shape, 0), lambda model: count_nmsw(model, shape, 0))
            with_one = self._cost(("nmsw", shape, 1), lambda model: count_nmsw(model, shape, 1), ratio)
            local = Cost(0, with_one.macs - overview.macs, with_one.paper_macs - overview.paper_macs)
            return overview + local.times(done.patches_read)
        if isinstance(options, sliding_window.Options):
            size, ratio = options.patch_size, options.prune_ratio
            once = self._cost(("patch", size), lambda model: _patch_pass(model, size), ratio)
            return once.times(done.patches_read)
        if isinstance(options, slices.Options):
            plane = (*done.prepared_shape[:2], 1)
            passes = 2 if options.position == "found" else 1
            once = self._cost(("slice", plane), lambda model: count_slice_volume(model, plane))
            return once.times(passes * done.patches_read)
        return None

    def _cost(self, key: tuple, count_passes: Callable[[nn.Module], Cost], prune_ratio: float | None = None) -> Cost:
        key = (*key, prune_ratio)
        if key not in self._passes:
            if self._plain is None:  # not the one that runs: settings for inference hide layers from the counters
                network = self._bundle.network
                self._plain = networks.build(network.name, network.options, 1, self._bundle.num_outputs)
            with pruning(token_model(self._plain), prune_ratio):
                self._passes[key] = count_passes(self._plain)
        return self._passes[key]


def _patch_pass(model: nn.Module, patch_size: Index | None) -> Cost:
    network = model.local_network if isinstance(model, GlobalLocalModel) else model
    return count(network, tuple(patch_size or model.patch_size))
