"""NMSW's recipe with one term more, as an experiment: the scores are told where the coarse pass is wrong.

In NMSW the scores learn only through the sampled patches. This recipe adds the cross-entropy between the draw's
distribution and the distribution of the coarse pass's errors over the candidates, which is known in training for all of
them at once. It answers one question: can the score head learn where patches are needed in so few iterations?
"""

import sys
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from EfficientSegLib.geometry import PatchBox, patch_grid
from EfficientSegLib.resampling import shrink_labels
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.recipes import nmsw
from EfficientSegLib.training.samples import Sample


@dataclass(frozen=True)
class Options(nmsw.Options):
    """NMSW's, and how much the errors count."""

    teaching: float = 0.1


def losses(
    model: nn.Module, sample: Sample, options: Options, progress: float, generator: torch.Generator
) -> dict[str, Tensor]:
    """NMSW's terms, and `teaching`; see `nmsw.losses`."""
    seen = []
    propose = model.propose

    def watched(*given):
        seen.append(propose(*given))
        return seen[-1]

    model.propose = watched
    try:
        terms = nmsw.losses(model, sample, options, progress, generator)
    finally:
        del model.propose
    truth = shrink_labels(sample.target, model.downsampling)
    wrong = (seen[0].logits[0].argmax(0) != truth) & (truth != IGNORE)
    shape = tuple(sample.target.shape)
    errors = errors_in(wrong, patch_grid(shape, model.patch_size, model.overlap), model.downsampling)
    if bool(errors.any()):
        log_p = torch.log_softmax(seen[0].scores.float(), 0)
        terms["teaching"] = -options.teaching * (errors / errors.sum() * log_p).sum()
    return terms


def errors_in(wrong: Tensor, grid: list[PatchBox], factor: tuple[int, int, int]) -> Tensor:
    """Wrong cells (i, j, k), bool, in each patch of the full grid; (N,)."""
    total = torch.zeros([n + 1 for n in wrong.shape])
    total[1:, 1:, 1:] = wrong.float().cumsum(0).cumsum(1).cumsum(2)
    low = torch.tensor([[a // f for a, f in zip(box.start, factor)] for box in grid])
    high = torch.tensor([[min(-(-b // f), n) for b, f, n in zip(box.stop, factor, wrong.shape)] for box in grid])
    found = torch.zeros(len(grid))
    for corner in range(8):
        chosen = [(high if corner >> axis & 1 else low)[:, axis] for axis in range(3)]
        sign = 1 if bin(corner).count("1") % 2 else -1
        found += sign * total[chosen[0], chosen[1], chosen[2]]
    return found


def main() -> None:
    """`train` with this recipe under the name `nmsw_taught`; arguments as for `python -m EfficientSegLib train`."""
    from EfficientSegLib import training
    from EfficientSegLib.__main__ import main as command

    training.RECIPES["nmsw_taught"] = "evidence.taught_recipe"
    sys.exit(command(["train", *sys.argv[1:]]))


if __name__ == "__main__":
    main()
