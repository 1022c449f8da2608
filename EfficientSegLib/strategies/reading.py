"""A number of patches, read in a given order on top of a coarse pass; a later run may go on with the same order.

Which order, is what NMSW and its baselines differ in; everything else they share lies here.
"""

import weakref
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import ContinuationError, OptionError
from EfficientSegLib.geometry import PatchBox, ScoredBox
from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.networks.topk import check_count
from EfficientSegLib.patches import Blend, cut, gaussian_window
from EfficientSegLib.strategies import Prediction, Watcher
from EfficientSegLib.strategies.disagreement import Disagreement
from EfficientSegLib.strategies.fallback import Fallback
from EfficientSegLib.strategies.overview import CoarseField, Overview
from EfficientSegLib.strategies.preference import Preference, queue
from EfficientSegLib.strategies.tokens import PatchReader, check_ratio, depths_of

THETA = 10.0  # of the baselines' class weights before the sigmoid
Trust = Literal["learned", "ten", "one"]


@dataclass(frozen=True)
class Budget:
    """How many patches are read, and where their logits stay."""

    top_k: int | None = 5  # patches read at full resolution; time grows with it; 0: coarse only; null: all
    clip_top_k: bool = False  # read all patches of a volume that has fewer; otherwise that is an error
    skip_background: bool = True  # end early once only patches without any coarse structure are left; not if all
    pad_value: float = 0.0  # network value of air, for volumes smaller than a patch
    memory_mb: float = 2000.0  # patch logits kept in memory; the rest lies in a mapped file
    prune_ratio: float | None = None  # of tokens, by a local network that drops some; null: as the bundle says

    def __post_init__(self) -> None:
        check_ratio(self.prune_ratio)
        if self.top_k is not None and self.top_k < 0:
            raise OptionError(
                f"top_k is {self.top_k}.", why="It counts patches.", mend="Use 0 (coarse only), more, or null (all)."
            )


class Reading:
    """Patches that were read, and all that is needed to read more of them.

    It holds the padded volume, the coarse logits, and the sums of the patch logits: in memory up to the `memory_mb` of
    the run that began it, the rest in a file without a name that goes with it. A run that goes on takes it over: it
    grows, and so do the logits of the predictions that rest on it.
    """

    def __init__(
        self,
        strategy: str,
        model: nn.Module,
        overview: Overview,
        order: list[int],
        memory_mb: float,
        settings: dict[str, Any],
    ) -> None:
        """Begin, with no patch read.

        Args:
            strategy: name of the strategy whose order it is.
            order: all candidates, by index, in the order in which they are read.
            settings: options that decide the order or the coarse pass.
        """
        self.overview = overview
        self.order = order
        self.done: list[int] = []  # candidates that were read, in this order
        self.is_torn = False  # a patch was lost half-way into the sums: nothing can go on from here
        self.blend = Blend(len(overview.logits), memory_mb=memory_mb)
        self.disagreement = Disagreement(overview, getattr(model, "ignored_channels", (0,)))
        self.depths = depths_of(model)  # in voxels of the padded volume
        self._strategy = strategy
        self._settings = settings
        self._model = weakref.ref(model)  # a kept reading does not keep a model that was replaced
        self._weights = _versions(model)

    @property
    def read(self) -> int:
        """How many patches were read."""
        return len(self.done)

    def add(self, number: int, logits: Tensor, window: Tensor) -> None:
        """Add the logits (L, *patch) of a candidate, weighted by `window` (*patch)."""
        self.is_torn = True
        box = self.overview.grid[number]
        self.blend.add(logits, box, window)
        self.disagreement.add(logits, box, window)
        self.is_torn = False
        self.done.append(number)

    def check(self, strategy: str, volume: Tensor, model: nn.Module, settings: dict[str, Any]) -> None:
        """Make sure that a run of this strategy on this volume (C, I, J, K) would begin with the patches read here.

        Raises:
            ContinuationError: it would not.
        """
        reason = self._difference(strategy, volume, model, settings)
        if reason:
            raise ContinuationError(
                "The earlier run cannot be continued.", why=reason, mend="Run anew, without the earlier one."
            )
        overview = self.overview
        if overview.padded.shape == volume.shape:  # equal: the older copy need not be kept beside this one
            self.overview = replace(overview, padded=volume)

    def _difference(self, strategy: str, volume: Tensor, model: nn.Module, settings: dict[str, Any]) -> str:
        if self.is_torn:
            return "It ended in the middle of a patch."
        if strategy != self._strategy:
            return f"Its strategy was {self._strategy}, now it is {strategy}."
        if self._model() is not model or self._weights != _versions(model):
            return "It was done with another model, or with other weights."
        for name, value in settings.items():
            if self._settings[name] != value:
                return f"Its {name} was {self._settings[name]}, now it is {value}."
        shape, offset = self.overview.shape, self.overview.offset
        inside = tuple(slice(front, front + length) for front, length in zip(offset, shape))
        kept = self.overview.padded[(slice(None), *inside)]
        if not torch.equal(kept, volume):
            return "It read another volume, or the volume was prepared in another way."
        return ""


class CoarseAndPatches(CoarseField):
    """Coarse logits everywhere, mixed with the patches' inside their boxes. A `LogitField`.

    Source: NMSW, equation 6: y = c L + (1 - c) G inside, G outside; L patches, G global, c class weights.
    """

    def __init__(self, overview: Overview, trust: Tensor, blend: Blend) -> None:
        super().__init__(overview)
        self._trust = trust[:, None, None, None]
        self._is_one = bool((trust == 1).all())
        self._blend = blend

    def region(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape) of a box of the volume."""
        box = box.shifted(self._overview.offset)
        if not self._blend.touches(box):
            return self._coarse(box)
        patches, covered = self._blend.region(box)
        is_covered = bool(covered.all())
        if is_covered and self._is_one:
            return patches
        coarse = self._coarse(box)
        torch.lerp(coarse, patches, self._trust, out=patches)
        return patches if is_covered else torch.where(covered, patches, coarse)

    def winner(self, box: PatchBox) -> int | None:
        """The channel that is largest all over a box of the volume; known only where no patch was read."""
        return None if self._blend.touches(box.shifted(self._overview.offset)) else super().winner(box)


def trust_of(model: GlobalLocalModel, choice: Trust) -> Tensor:
    """How far each label trusts the patches, (L,), float32, on the CPU."""
    learned = model.class_weights.detach().float().cpu()
    fixed = {"learned": learned, "one": torch.ones_like(learned), "ten": torch.full_like(learned, THETA).sigmoid()}
    return fixed[choice]


def foreground_first(order: Tensor, foreground: Tensor) -> list[int]:
    """Candidates (N,) in the same order, but those without any coarse structure behind all others."""
    seen = foreground[order]
    return torch.cat((order[seen], order[~seen])).tolist()


def go_on(
    reading: Reading,
    model: GlobalLocalModel,
    budget: Budget,
    trust: Tensor,
    watcher: Watcher,
    preference: Preference | None = None,
    fallback: Fallback | None = None,
) -> Prediction:
    """Read patches in the reading's order until there are as many as the budget says; none is read twice.

    What is wanted by place comes before them, and besides the budget; see `preference`.

    Raises:
        OptionError: there are fewer candidates.
        ContinuationError: more were read already.
        DeviceError: their logits have no place.
    """
    overview = reading.overview
    chosen, candidates = _chosen(reading, budget, preference or Preference())
    reading.blend.extend(overview.grid[number] for number in chosen)
    logits = CoarseAndPatches(overview, trust, reading.blend)
    logits.patches_read = reading.read
    scored = tuple(
        ScoredBox(overview.in_volume(overview.grid[number]), float(overview.scores[number]), rank)
        for rank, number in enumerate(chosen, start=1)
    )
    weights = tuple(trust.tolist())
    watcher.reads(reading)
    watcher.chosen(scored, candidates, weights)
    watcher.refined(logits, None, reading.read, len(chosen))
    read = PatchReader(model, budget.prune_ratio, reading.depths, fallback)
    window = gaussian_window(model.patch_size)
    while reading.read < len(chosen) and not watcher.should_stop():
        number = chosen[reading.read]
        box = overview.grid[number]
        reading.add(number, read(cut(overview.padded, box), box), window)
        logits.patches_read = reading.read
        watcher.refined(logits, scored[reading.read - 1].box, reading.read, len(chosen))
    tokens = {"depths": reading.depths, "origin": overview.offset, "prune_ratio": read.prune_ratio}
    return Prediction(logits, scored, candidates, len(chosen), weights, reading, **tokens)


def _chosen(reading: Reading, budget: Budget, preference: Preference) -> tuple[list[int], int]:
    """Candidates to have been read at the end, in order, and of how many they are chosen.

    Without a preference each list begins with that of any smaller budget. What was read stays in front.
    """
    foreground, done = reading.overview.foreground, set(reading.done)
    unread = [number for number in reading.order if number not in done]
    wanted = queue(unread, reading.overview, preference)
    available = len(done) + len(wanted.usual or wanted.first)
    if preference.only_first:
        return reading.done + wanted.first, available
    k = available if budget.top_k is None else budget.top_k
    if budget.clip_top_k or preference.region is not None:
        k = min(k, available)
    check_count(k, available)
    if k < len(done) and not wanted.first:
        raise ContinuationError(
            f"The earlier run has read {len(done)} patches, now they are to be {k}.",
            why="A patch that was read cannot be taken back.",
            mend=f"Ask for {len(done)} or more, or run anew, without the earlier run.",
        )
    usual = wanted.usual
    if budget.skip_background and k < available:
        usual = [number for number in usual if foreground[number]]
    first = set(wanted.first)
    usual = [number for number in usual[: max(k - len(done), 0)] if number not in first]
    return [*reading.done, *wanted.first, *usual], available


def _versions(model: nn.Module) -> tuple:
    """Changes when any weight is replaced or written to."""
    state = (*model.parameters(), *model.buffers())
    return tuple((tensor.data_ptr(), 0 if tensor.is_inference() else tensor._version) for tensor in state)
