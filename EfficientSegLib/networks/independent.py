"""Networks over volumes whose labels may overlap: a sigmoid channel for each, and none for the background.

A background logit of 0 before them makes them networks like the others: the largest logit is the label whose
probability is largest among those above one half, and background where none is. Means of patches' logits stay what they
are. Example: the three overlapping regions of a brain tumour (STP + MTA + UNETR, arXiv 2303.06522, BraTS).
"""

from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib.networks import PatchModel, TokenModel


class Independent(nn.Module):
    """Meets `PatchModel`: one more channel, in front, than the network of independent labels that it holds."""

    def __init__(self, network: PatchModel) -> None:
        super().__init__()
        self.network = network
        self.num_labels = network.num_labels + 1
        self.size_multiple = network.size_multiple
        if hasattr(network, "patch_size"):
            self.patch_size = network.patch_size

    def forward(self, patch: Tensor) -> Tensor:
        """(B, C, I, J, K) -> logits (B, 1 + K, I, J, K)."""
        return _with_background(self.network(patch))


class IndependentTokens(Independent):
    """Meets `TokenModel`."""

    def __init__(self, network: TokenModel) -> None:
        super().__init__(network)
        self.token_size = network.token_size
        self.stages = network.stages

    @property
    def prune_ratio(self) -> float:
        """That of the network."""
        return self.network.prune_ratio

    @prune_ratio.setter
    def prune_ratio(self, ratio: float) -> None:
        self.network.prune_ratio = ratio

    def with_depths(self, patch: Tensor) -> tuple[Tensor, Tensor]:
        """Logits as of a plain call, and the network's depths."""
        logits, depths = self.network.with_depths(patch)
        return _with_background(logits), depths


def with_background(network: PatchModel) -> Independent:
    """What stands for a network of independent labels wherever logits of all labels and the background are wanted."""
    return IndependentTokens(network) if isinstance(network, TokenModel) else Independent(network)


def _with_background(logits: Tensor) -> Tensor:
    return functional.pad(logits, (0, 0, 0, 0, 0, 0, 1, 0))
