"""What reads one patch, at the prune ratio of this run; and at which depth a network of tokens dropped each of them.

A worker keeps its models from run to run, so a run's own ratio holds for one pass at a time and is taken back behind
it, whatever happens. That also serves strategies whose patches are read long after they have returned.

A patch's depths are one byte per token: 0 to `stages` - 1 dropped at that stage, `stages` kept to the end. They stay
for every patch, whether a map is wanted or not: a few kilobytes, and a map that is wanted later lacks nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox
from EfficientSegLib.networks import GlobalLocalModel, TokenModel
from EfficientSegLib.strategies.fallback import Fallback


def check_ratio(ratio: float | None) -> None:
    """For strategies' options: a prune ratio, or None for the network's own.

    Raises:
        OptionError: it is no ratio.
    """
    if ratio is not None and not 0 < ratio < 1:
        raise OptionError(
            f"prune_ratio is {ratio}.",
            why="It is the fraction of tokens that each stage drops, between 0 and 1.",
            mend="Use for example 0.75 or 0.9, or leave it out for the network's own.",
        )


def token_model(model: nn.Module) -> TokenModel | None:
    """The network that reads patches, if it drops tokens."""
    local = getattr(model, "local_network", None) if isinstance(model, GlobalLocalModel) else model
    return local if isinstance(local, TokenModel) else None


def prune_ratio_of(model: nn.Module, wanted: float | None) -> float | None:
    """The prune ratio of a run: the wanted one, or the network's own; None where the network has no tokens.

    Raises:
        OptionError: one is wanted, and the network has no tokens, or too few for it.
    """
    tokens = token_model(model)
    if tokens is not None:
        with pruning(tokens, wanted):
            return tokens.prune_ratio
    if wanted is not None:
        raise OptionError(
            f"prune_ratio is {wanted}.",
            why="This network has no tokens to drop: only 'stp_unetr' has, with a selection other than 'none'.",
            mend="Leave prune_ratio out.",
        )
    return None


class TokenDepths:
    """At which depth each token of the patches read so far was dropped."""

    def __init__(self, stages: int) -> None:
        self.stages = stages
        self._patches: list[tuple[PatchBox, Tensor]] = []

    def add(self, box: PatchBox, depths: Tensor) -> None:
        """Keep the depths (i, j, k), uint8, of the tokens that fill a box."""
        self._patches.append((box, depths))

    def painted(self, within: PatchBox) -> np.ndarray:
        """Every voxel of a box: 0 where nothing was read, else depth + 1; the deepest where patches overlap; uint8."""
        result = np.zeros(within.shape, dtype=np.uint8)
        for box, depths in self._patches:
            shared = box.intersection(within)
            if shared is None:
                continue
            tokens = [
                (np.arange(a, b) - start) * count // length
                for a, b, start, length, count in zip(shared.start, shared.stop, box.start, box.shape, depths.shape)
            ]
            layers = (depths.numpy() + np.uint8(1)).take(tokens[1], 1).take(tokens[2], 2)  # one for each row of tokens
            target = result[shared.shifted(tuple(-a for a in within.start)).slices()]
            for plane, layer in zip(target, tokens[0]):
                np.maximum(plane, layers[layer], out=plane)
        return result


def depths_of(model: nn.Module) -> TokenDepths | None:
    """Room for what the patches of a run will tell; None where the network has no tokens."""
    tokens = token_model(model)
    return None if tokens is None else TokenDepths(tokens.stages)


class PatchReader:
    """Patches (C, *patch), float32, on the CPU -> logits (L, *patch), float32, on the CPU; the model may be anywhere.

    Args:
        model: a `PatchModel`, or a `GlobalLocalModel`, of which the local network reads.
        prune_ratio: of this run; None is the network's own.
        depths: where to keep what becomes of tokens, beside what earlier runs left there; None is a new place.
        fallback: of this run and model: on the CPU, where the device's memory does not suffice.

    Raises:
        OptionError: see `prune_ratio_of`.
    """

    def __init__(
        self,
        model: nn.Module,
        prune_ratio: float | None = None,
        depths: TokenDepths | None = None,
        fallback: Fallback | None = None,
    ) -> None:
        self.prune_ratio = prune_ratio_of(model, prune_ratio)
        self._fallback = fallback or Fallback(model)
        self.depths = depths or depths_of(model)

    def __call__(self, patch: Tensor, box: PatchBox) -> Tensor:
        """Logits of the patch that fills a box."""
        return self._fallback.ask(lambda model: self._read(model, patch, box))

    def _read(self, model: nn.Module, patch: Tensor, box: PatchBox) -> Tensor:
        given, tokens = patch[None].to(next(model.parameters()).device), token_model(model)
        if tokens is None:
            read = model.local if isinstance(model, GlobalLocalModel) else model
            return read(given)[0].float().cpu()
        with pruning(tokens, self.prune_ratio):
            logits, depths = tokens.with_depths(given)
        found, depths = logits[0].float().cpu(), depths[0].to("cpu", torch.uint8)
        self.depths.add(box, depths)  # behind all that may fail and be tried again
        return found


@contextmanager
def pruning(tokens: TokenModel, ratio: float | None) -> Iterator[None]:
    """Let a network drop another share of its tokens for a while; None is its own."""
    if ratio is None:
        yield
        return
    own = tokens.prune_ratio
    try:
        tokens.prune_ratio = ratio
        yield
    finally:
        tokens.prune_ratio = own
