"""NMSW inference: a coarse pass over everything, then the patches worth reading, best first.

Source: NMSW (arXiv 2501.10814), sections 3.2-3.3. Selection is deterministic (no Gumbel noise); the Gaussian sum is
normalised; logits, not probabilities, are mixed; outside the patches the up-sampled global logits stand.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.networks.topk import top_k
from EfficientSegLib.strategies import Prediction, Watcher, wrong_model
from EfficientSegLib.strategies.coverage import by_coverage
from EfficientSegLib.strategies.fallback import Fallback
from EfficientSegLib.strategies.overview import Overview, look
from EfficientSegLib.strategies.preference import Preference
from EfficientSegLib.strategies.reading import Budget, Reading, foreground_first, go_on, trust_of
from EfficientSegLib.strategies.tokens import prune_ratio_of


@dataclass(frozen=True)
class Options(Budget):
    """How NMSW looks at a volume."""

    class_weights: Literal["learned", "one"] = "learned"  # one: inside patches the coarse logits do not count
    order: Literal["priority", "coverage"] = "priority"  # coverage: less for what better patches cover already


def check_model(model: nn.Module, options: Options) -> None:
    """Raises OptionError: the model is no `GlobalLocalModel`, or does not bear the prune_ratio."""
    if not isinstance(model, GlobalLocalModel):
        raise wrong_model("nmsw", "sliding_window")
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

    Args:
        earlier: what a run of NMSW on this volume with this model has left (`Prediction.reading`), also one that was
            stopped. Only the patches that it has not read are read; the result equals that of a fresh run, bit for bit.
        preference: what is read before the usual order, or alone.

    Raises:
        OptionError: the model is no `GlobalLocalModel`, top_k exceeds the number of candidate patches, or the local
            network does not bear the prune_ratio.
        ContinuationError: the earlier run is of another volume, model, strategy, pad_value or prune_ratio, or has read
            more patches.
        DeviceError: the patch logits have no place on the disk.
    """
    check_model(model, options)
    ratio = prune_ratio_of(model, options.prune_ratio)
    settings = {"pad_value": options.pad_value, "order": options.order, "prune_ratio": ratio}
    watcher = watcher or Watcher()
    fallback = Fallback(model, watcher)
    if earlier is None:
        overview = look(volume, model, options.pad_value, fallback)
        order = _by_priority(overview) if options.order == "priority" else _by_coverage(overview)
        earlier = Reading("nmsw", model, overview, order, options.memory_mb, settings)
    else:
        earlier.check("nmsw", volume, model, settings)
    trust = trust_of(fallback.model, options.class_weights)
    return go_on(earlier, model, options, trust, watcher, preference, fallback)


def _by_priority(overview: Overview) -> list[int]:
    """All candidates, highest score first, ties by index; what shows no structure comes last.

    Source: NMSW, section 3.2. The paper subtracts 87 from the scores of the background; sorting it behind is what that
    means, and stays right where scores lie further apart.
    """
    return foreground_first(top_k(overview.scores, len(overview.scores)), overview.foreground)


def _by_coverage(overview: Overview) -> list[int]:
    """All candidates, by `coverage.by_coverage` among those with structure; what shows none comes last, by score."""
    seen = overview.foreground.nonzero()[:, 0].tolist()
    if not seen:
        return _by_priority(overview)
    chosen = by_coverage([overview.grid[index] for index in seen], overview.scores[seen].numpy())
    first = [seen[index] for index in chosen]
    return first + _by_priority(overview)[len(first) :]
