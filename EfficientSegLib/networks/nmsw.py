"""No More Sliding Window: a global network over the small volume, a score per patch, a local network for the best.

Source: NMSW (arXiv 2501.10814). Where the paper and its published code differ: the candidate grid and the normalised
Gaussian follow the code (the published costs fit only these); the background mask is max-pooled over a patch's whole
extent, where the code samples one corner voxel; selection in inference is free of noise.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib import networks
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, patch_starts

HIGHEST_SCORE = 70.0  # one early runaway score would otherwise take every later draw


@dataclass(frozen=True)
class Options:
    """What NMSW is made of; the defaults are the paper's."""

    global_backbone: str = "unet"  # the only one that offers the features which the score head reads
    global_options: dict[str, Any] = field(default_factory=dict)
    local_backbone: str = "unet"  # any patch model of the registry
    local_options: dict[str, Any] = field(default_factory=dict)
    patch_size: tuple[int, int, int] = (128, 128, 128)  # voxels of the full-resolution grid
    overlap: float = 0.5  # shared by neighbouring candidates; more overlap, more candidates
    downsampling: tuple[int, int, int] = (3, 3, 3)  # full-resolution voxels per voxel of the global network
    pooling: Literal["extent", "trilinear"] = "extent"  # how features become one score; trilinear is the reference's
    auxiliary_labels: tuple[int, ...] = ()  # channels that do not make a patch worth reading

    def __post_init__(self) -> None:
        if self.global_backbone != "unet":
            raise OptionError(
                f"global_backbone is {self.global_backbone!r}.",
                why="The score head reads features at half resolution beside the logits, which only 'unet' offers.",
                mend="Use 'unet'; other networks serve as local_backbone.",
            )
        if self.local_backbone == "nmsw":
            raise OptionError("local_backbone is 'nmsw'.", why="NMSW cannot hold itself.", mend="Use a patch model.")
        if min(self.downsampling) < 1:
            raise OptionError(
                f"downsampling is {self.downsampling}.", why="It divides the volume.", mend="Use 1 or more per axis."
            )
        for size in self.patch_size:
            patch_starts(size, size, self.overlap)
        networks.check_patch(self.local_backbone, self.local_options, self.patch_size)

    @property
    def size_multiple(self) -> Index:
        """Axes of the full-resolution grid must be multiples of this."""
        overview = networks.read(self.global_backbone, self.global_options)
        return tuple(m * d for m, d in zip(overview.size_multiple, self.downsampling))


class Proposal(NamedTuple):
    """What the global pass says of one volume."""

    logits: Tensor  # (1, L, i, j, k) on the small grid
    scores: Tensor  # (N,) priority of each candidate patch, raster order
    foreground: Tensor  # (N,) True where any small voxel of the patch is not background


class ScoreHead(nn.Sequential):
    """Features (B, C, n, m, o) on the patch grid -> scores (B, 1, n, m, o). Source: NMSW, section 3.2."""

    def __init__(self, channels: int) -> None:
        half = max(channels // 2, 1)
        super().__init__(
            nn.Conv3d(channels, half, 1),
            nn.LeakyReLU(0.1),
            nn.Conv3d(half, half, 1),
            nn.LeakyReLU(0.1),
            nn.Conv3d(half, 1, 1),
            nn.Conv3d(1, 1, 1),
        )


class NMSW(nn.Module):
    """Meets the contract `GlobalLocalModel`."""

    decisive = ("global_network",)  # for networks.inference: the choice of patches does not depend on the precision

    def __init__(self, options: Options, in_channels: int, num_labels: int) -> None:
        super().__init__()
        self.num_labels = num_labels
        self.patch_size = options.patch_size
        self.overlap = options.overlap
        self.downsampling = options.downsampling
        self.pooling = options.pooling
        self.size_multiple = options.size_multiple  # of the full-resolution grid's axes
        self.ignored_channels = (0, *options.auxiliary_labels)
        self.global_network = networks.build(options.global_backbone, options.global_options, in_channels, num_labels)
        self.local_network = networks.build(options.local_backbone, options.local_options, in_channels, num_labels)
        self.score_head = ScoreHead(self.global_network.feature_channels)
        self.theta = nn.Parameter(torch.zeros(num_labels))

    @property
    def class_weights(self) -> Tensor:
        """How far each label trusts the patches, (L,), in (0, 1). Source: NMSW, equation 6."""
        return torch.sigmoid(torch.clamp(self.theta, -1, 10))

    def shrink(self, volume: Tensor) -> Tensor:
        """Full-resolution volume (B, C, I, J, K), axes multiples of r -> what the global network sees."""
        size = [length // factor for length, factor in zip(volume.shape[2:], self.downsampling)]
        return functional.interpolate(volume, size=size, mode="trilinear", align_corners=False)

    def propose(self, low: Tensor, shape: Index) -> Proposal:
        """Global logits and one score per candidate patch.

        Args:
            low: the shrunken volume, (1, C, i, j, k); it may be padded at the end of each axis.
            shape: voxels of the full-resolution grid in which the candidate patches lie.
        """
        features, logits = self.global_network.features_and_logits(low)
        spans = self._spans(shape, low.shape[2:])
        if self.pooling == "extent":
            pooled = _pool(features, [_coverage(s, n, mean=True) for s, n in zip(spans, features.shape[2:])])
        else:
            size = [len(span) for span in spans]
            pooled = functional.interpolate(features, size=size, mode="trilinear", align_corners=False)
        scores = self.score_head(pooled).flatten().clamp(max=HIGHEST_SCORE)
        winners = logits.argmax(1, keepdim=True)
        is_foreground = torch.ones_like(winners, dtype=torch.bool)
        for channel in self.ignored_channels:
            is_foreground &= winners != channel
        counts = _pool(is_foreground.to(logits), [_coverage(s, n, mean=False) for s, n in zip(spans, logits.shape[2:])])
        return Proposal(logits, scores, counts.flatten() > 0)

    def local(self, patch: Tensor) -> Tensor:
        """Full-resolution patches (B, C, *patch_size) -> logits (B, L, *patch_size)."""
        return self.local_network(patch)

    def _spans(self, shape: Index, cells: Index) -> list[list[tuple[float, float]]]:
        """Extent of the candidates along each axis, as fractions of the global network's field."""
        return [
            [(start / (n * r), (start + patch) / (n * r)) for start in patch_starts(length, patch, self.overlap)]
            for length, patch, n, r in zip(shape, self.patch_size, cells, self.downsampling)
        ]


def _coverage(spans: list[tuple[float, float]], cells: int, mean: bool) -> Tensor:
    """How far each cell of an axis lies in each span, (spans, cells); rows add to 1 for a mean, else 1 where touched.

    Together over three axes this pools the exact extent of every patch, where resizing to the grid would read single
    points whose centres do not even coincide with the patches'.
    """
    edges = torch.arange(cells + 1, dtype=torch.float64)
    rows = []
    for start, stop in spans:
        inside = torch.clamp(edges[1:], max=stop * cells) - torch.clamp(edges[:-1], min=start * cells)
        inside = inside.clamp(0, 1)
        rows.append(inside / inside.sum() if mean else (inside > 1e-6).double())
    return torch.stack(rows).float()


def _pool(x: Tensor, coverage: list[Tensor]) -> Tensor:
    """Separable pooling of (B, C, i, j, k) by one (cells-out, cells-in) matrix per axis."""
    rows, columns, planes = (matrix.to(x) for matrix in coverage)
    return torch.einsum("bcijk,ni,mj,ok->bcnmo", x, rows, columns, planes)


def build(options: Options, in_channels: int, num_labels: int) -> NMSW:
    return NMSW(options, in_channels, num_labels)
