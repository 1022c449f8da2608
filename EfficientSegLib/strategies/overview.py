"""The coarse pass over a whole volume, and its logits at full resolution: what NMSW and its relatives begin with."""

from dataclasses import dataclass

from torch import Tensor

from EfficientSegLib.geometry import Index, PatchBox, patch_grid, whole
from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.networks.nmsw import Proposal
from EfficientSegLib.patches import pad_to, pad_to_multiple
from EfficientSegLib.resampling import cells_needed, enlarge
from EfficientSegLib.restore import winners
from EfficientSegLib.strategies.fallback import Fallback


@dataclass(frozen=True)
class Overview:
    """What the global network says of one volume."""

    padded: Tensor  # (C, I, J, K), the volume, padded to at least a patch; the volume itself where it is large enough
    offset: Index  # of the volume in it
    shape: Index  # of the volume
    logits: Tensor  # (L, i, j, k), float32, on the CPU
    covers: Index  # voxels of the padded volume, from its first on, over which the logits' grid lies
    grid: tuple[PatchBox, ...]  # candidate patches of the padded volume, raster order
    scores: Tensor  # (N,) priority of each candidate
    foreground: Tensor  # (N,) whether any structure was seen in it

    def in_volume(self, box: PatchBox) -> PatchBox:
        """A box of the padded volume as one of the volume, without what lies in the padding."""
        return box.shifted(tuple(-front for front in self.offset)).intersection(whole(self.shape))


def look(volume: Tensor, model: GlobalLocalModel, pad_value: float, fallback: Fallback | None = None) -> Overview:
    """Run the global network on a prepared volume (C, I, J, K), float32, on the CPU; the model may be on any device.

    Args:
        fallback: of this run and model: on the CPU, where the device's memory does not suffice.
    """
    padded, offset = pad_to(volume, model.patch_size, pad_value)
    shape = tuple(padded.shape[1:])
    low = model.shrink(_seen(padded, model.size_multiple, pad_value)[None])

    def propose(asked: GlobalLocalModel) -> Proposal:
        found = asked.propose(low.to(next(asked.parameters()).device), shape)
        return Proposal(found.logits.float().cpu(), found.scores.float().cpu(), found.foreground.cpu())

    proposal = (fallback or Fallback(model)).ask(propose)
    return Overview(
        padded=padded,
        offset=offset,
        shape=tuple(volume.shape[1:]),
        logits=proposal.logits[0],
        covers=tuple(cells * factor for cells, factor in zip(low.shape[2:], model.downsampling)),
        grid=tuple(patch_grid(shape, model.patch_size, model.overlap)),
        scores=proposal.scores,
        foreground=proposal.foreground,
    )


def _seen(volume: Tensor, multiple: Index, pad_value: float) -> Tensor:
    """The volume (C, I, J, K), padded behind its end to what the global network can halve.

    At its deepest it must not be a single cell: norms would have nothing to compare it with.
    """
    if all(length <= factor for length, factor in zip(volume.shape[1:], multiple)):
        multiple = (*multiple[:2], 2 * multiple[2])
    return pad_to_multiple(volume, multiple, pad_value)


class CoarseField:
    """The global logits, resampled to the volume region by region. A `LogitField`, and the ground of others."""

    def __init__(self, overview: Overview) -> None:
        self.shape = overview.shape
        self.num_labels = len(overview.logits)
        self.patches_read = 0
        self._overview = overview
        self.channels = winners(overview.logits)  # (i, j, k), the largest of each coarse cell

    def region(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape) of a box of the volume."""
        return self._coarse(box.shifted(self._overview.offset))

    def winner(self, box: PatchBox) -> int | None:
        """The channel that is largest all over a box of the volume, where one is in all cells it is resampled from."""
        return self._coarse_winner(box.shifted(self._overview.offset))

    def _coarse(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape) of a box of the padded volume."""
        return enlarge(self._overview.logits, self._overview.covers, box)

    def _coarse_winner(self, box: PatchBox) -> int | None:
        cells = self.channels[cells_needed(tuple(self.channels.shape), self._overview.covers, box).slices()]
        first = cells[0, 0, 0]
        return int(first) if bool((cells == first).all()) else None
