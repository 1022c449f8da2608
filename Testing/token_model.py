"""A network of tokens that is drawn, not learned: bright tokens are kept, so that every depth is known beforehand."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from EfficientSegLib.errors import OptionError


class BrightTokens(nn.Module):
    """Meets `TokenModel`: each stage keeps the brightest tokens; label 1 has the voxels of those kept to the end."""

    size_multiple = (8, 8, 8)
    token_size = (8, 8, 8)
    stages = 3

    def __init__(self, patch_size=(16, 16, 16), prune_ratio=0.5, num_labels=2) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.num_labels = num_labels
        self.place = nn.Parameter(torch.zeros(()))
        self.seen: list[float] = []  # the prune ratio of each pass
        self.fails = False
        self._prune_ratio = prune_ratio

    @property
    def prune_ratio(self) -> float:
        return self._prune_ratio

    @prune_ratio.setter
    def prune_ratio(self, ratio: float) -> None:
        if not 0 < ratio < 1:
            raise OptionError(f"prune_ratio is {ratio}.", why="It is a share.", mend="Use 0.5.")
        self._prune_ratio = ratio

    def forward(self, patch: Tensor) -> Tensor:
        return self.with_depths(patch)[0]

    def with_depths(self, patch: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(self.prune_ratio)
        if self.fails:
            raise RuntimeError("Out of luck")
        means = functional.avg_pool3d(patch.mean(1, keepdim=True), 8)  # (B, 1, i, j, k)
        order = means.flatten(1).argsort(dim=1, descending=True, stable=True)
        count = order.shape[1]
        depths = torch.full_like(order, 0)
        for stage in range(1, self.stages + 1):
            kept = max(int(count * (1 - self.prune_ratio) ** stage), 1)
            depths.scatter_(1, order[:, :kept], stage)
        depths = depths.view_as(means[:, 0]).to(torch.uint8)
        voxels = functional.interpolate(depths[:, None].float(), scale_factor=8, mode="nearest")
        rest = torch.full_like(voxels, -1.0).expand(-1, self.num_labels - 2, -1, -1, -1)
        return torch.cat((torch.full_like(voxels, 2.5), voxels, rest), 1), depths
