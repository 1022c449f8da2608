"""The random-foreground baseline: NMSW's coarse pass and local network, but patches drawn at random among those that
show any structure. What NMSW's learned priority is worth, is its distance to this.

Source: NMSW (arXiv 2501.10814), section 4 (baselines): uniform scores, the same background mask (max-pooled), and class
weights of theta = 10 (the sigmoid of which is .99995: inside patches the coarse logits hardly count).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.strategies import Prediction, Watcher, wrong_model
from EfficientSegLib.strategies.fallback import Fallback
from EfficientSegLib.strategies.overview import Overview, look
from EfficientSegLib.strategies.preference import Preference
from EfficientSegLib.strategies.reading import Budget, Reading, Trust, foreground_first, go_on, trust_of
from EfficientSegLib.strategies.tokens import prune_ratio_of


@dataclass(frozen=True)
class Options(Budget):
    """How many patches are drawn, and how."""

    skip_background: bool = False  # False: once all patches with structure are read, go on with the others
    class_weights: Trust = "ten"  # ten: theta = 10, the paper's; learned: the model's; one: exactly 1
    seed: int = 0  # of the draw; with one seed the patches of k are the first k of those of k + 1


def check_model(model: nn.Module, options: Options) -> None:
    """Raises OptionError: the model is no `GlobalLocalModel`, or does not bear the prune_ratio."""
    if not isinstance(model, GlobalLocalModel):
        raise wrong_model("random_foreground", "sliding_window")
    prune_ratio_of(model, options.prune_ratio)


def predict(
    volume: Tensor,
    model: GlobalLocalModel,
    options: Options,
    watcher: Watcher | None = None,
    earlier: Reading | None = None,
    preference: Preference | None = None,
) -> Prediction:
    """Segment a prepared volume (C, I, J, K), float32, on the CPU; the model may be on any device.

    The priorities told with the patches are the model's scores, which the draw does not look at.

    Args:
        earlier: what a run of this strategy with the same seed has left; see `nmsw.predict`.
        preference: what is read before the draw, or alone.

    Raises:
        OptionError: the model is no `GlobalLocalModel`, top_k exceeds the number of candidate patches, or the local
            network does not bear the prune_ratio.
        ContinuationError: the earlier run is not the beginning of this one.
        DeviceError: the patch logits have no place on the disk.
    """
    check_model(model, options)
    ratio = prune_ratio_of(model, options.prune_ratio)
    settings = {"pad_value": options.pad_value, "seed": options.seed, "prune_ratio": ratio}
    watcher = watcher or Watcher()
    fallback = Fallback(model, watcher)
    if earlier is None:
        overview = look(volume, model, options.pad_value, fallback)
        order = _drawn(overview, options.seed)
        earlier = Reading("random_foreground", model, overview, order, options.memory_mb, settings)
    else:
        earlier.check("random_foreground", volume, model, settings)
    trust = trust_of(fallback.model, options.class_weights)
    return go_on(earlier, model, options, trust, watcher, preference, fallback)


def _drawn(overview: Overview, seed: int) -> list[int]:
    """All candidates in a random order, those that show no structure last: uniform draws without replacement."""
    order = torch.randperm(len(overview.grid), generator=torch.Generator().manual_seed(seed))
    return foreground_first(order, overview.foreground)
