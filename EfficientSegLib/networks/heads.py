"""What a slice network says in training. Shapes: B batch, K sigmoid channels (no background), H W pixels."""

from typing import NamedTuple

from torch import Tensor


class Heads(NamedTuple):
    """Logits of every head, before the sigmoid; a head that the network has not is None or ()."""

    mask: Tensor  # (B, K, H, W)
    boundary: Tensor | None = None  # (B, K, H, W) contours, in the sense the recipe teaches
    presence: Tensor | None = None  # (B, K) whether the label is in the slice at all
    deep: tuple[Tensor, ...] = ()  # masks by coarser levels, (B, K, H, W) each, coarsest first
