"""Which voxels of a volume feed which expert: for researchers who ask what the experts of Swin SMT are experts of.

The shares of a patch are those of `networks.expert_shares`: of each expert they add, over the tokens of the patch, to
the number of its slots. A whole volume is read by a sliding window that moves by whole tokens; where patches overlap
the shares are averaged, the middle of a patch counting more than its rim, as logits are.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from EfficientSegLib.bundle import Bundle
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, PatchBox, patch_grid
from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.networks.expert_shares import mixtures, shares_of_patch, token_size
from EfficientSegLib.options import read_options
from EfficientSegLib.patches import cut, gaussian_window, pad_to, pad_to_multiple
from EfficientSegLib.preprocess import Prepared, prepare, to_prepared, to_source
from EfficientSegLib.restore import restore_nearest
from EfficientSegLib.strategies import sliding_window
from EfficientSegLib.suitability import check_grid, check_intensities
from EfficientSegLib.volume import Volume

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class Chosen:
    """A layer with experts, counted from 1; None is the first there is."""

    stage: int | None = None
    block: int | None = None


@dataclass(frozen=True)
class ExpertMaps:
    """Shares on the grid of a layer's tokens, and the way to the input's voxels."""

    shares: Tensor  # (E, i, j, k); of tokens that were not read 0
    stage: int
    block: int
    slots: int  # of each expert in one patch
    tokens: int  # of one patch
    token_voxels: int  # width of a token in voxels of the prepared volume
    origin: Index  # of the first token, in voxels of the prepared volume; below 0 where that was padded
    patches: int  # how many were read
    region: PatchBox | None  # of the input, what was read; None is all of it
    prepared: Prepared

    @property
    def even_share(self) -> float:
        """What every token would give to every expert if all gave the same: the mean of a map over a patch."""
        return self.slots / self.tokens

    def of_expert(self, expert: int) -> np.ndarray:
        """The map of expert 0 to E - 1 on the input's grid, (I, J, K), float32; 0 where nothing was read.

        Every voxel has the share of the token that it is a part of.
        """
        return self._on_input(self.shares[expert].numpy())

    def largest(self) -> np.ndarray:
        """The expert, 1 to E, to which each voxel of the input gives most, (I, J, K); 0 where nothing was read."""
        numbers = (self.shares.argmax(0) + 1) * (self.shares.sum(0) > 0)
        return self._on_input(numbers.numpy().astype(np.uint8 if len(self.shares) < 256 else np.uint16))

    def _on_input(self, tokens: np.ndarray) -> np.ndarray:
        cells = np.zeros(self.prepared.array.shape[1:], dtype=tokens.dtype)
        for axis in range(3):
            tokens = tokens.repeat(self.token_voxels, axis)
        box = PatchBox(self.origin, tuple(a + n for a, n in zip(self.origin, tokens.shape)))
        inside = box.intersection(PatchBox((0, 0, 0), cells.shape))
        cells[inside.slices()] = tokens[inside.shifted(tuple(-a for a in self.origin)).slices()]
        return restore_nearest(cells, self.prepared)


def find_maps(
    volume: Volume,
    bundle: Bundle,
    model: nn.Module,
    chosen: Chosen | None = None,
    centre: Index | None = None,
    report: Report | None = None,
) -> ExpertMaps:
    """Read a volume, or one patch of it, up to a layer with experts.

    Args:
        volume: one channel.
        bundle: says how to prepare it, and how large patches are.
        model: from `segment.load_model` with the backend "torch".
        chosen: the layer; None is the first block of the first stage that has experts.
        centre: voxel of the input in the middle of a single patch, which is moved into the volume where it stands out;
            None reads all.
        report: told how many patches of how many are read.

    Raises:
        OptionError: the network has no experts, or not in that stage and block, or the centre is not in the volume.
        VolumeError: the volume does not suit the bundle.
    """
    stage, block = _layer(model, chosen or Chosen())
    mixture = mixtures(model)[stage, block]
    _check(volume, bundle, centre)
    prepared = prepare(volume, bundle.preprocess)
    size, overlap, pad_value = _window(bundle, model)
    padded, before = pad_to(torch.from_numpy(prepared.array), size, pad_value)
    width = token_size(stage)
    if centre is None:
        padded = pad_to_multiple(padded, (width,) * 3, pad_value)
        in_tokens = [tuple(n // width for n in shape) for shape in (padded.shape[1:], size)]
        boxes = [box.scaled((width,) * 3) for box in patch_grid(*in_tokens, overlap)]
        first = (0, 0, 0)
    else:
        boxes = [_patch_around(centre, prepared, before, size, tuple(padded.shape[1:]))]
        first = boxes[0].start
    shares = _read(padded, boxes, first, width, model, mixture, report or (lambda done, total: None))
    count = int(np.prod(size)) // width**3
    return ExpertMaps(
        shares=shares,
        stage=stage,
        block=block,
        slots=-(-count // mixture.group),
        tokens=count,
        token_voxels=width,
        origin=tuple(a - b for a, b in zip(first, before)),
        patches=len(boxes),
        region=None if centre is None else _in_input(boxes[0], before, prepared),
        prepared=prepared,
    )


@torch.inference_mode()
def _read(
    padded: Tensor,
    boxes: list[PatchBox],
    first: Index,
    width: int,
    model: nn.Module,
    mixture: nn.Module,
    report: Report,
) -> Tensor:
    """Means of the shares over the patches, (E, i, j, k), on a grid of tokens that begins at voxel `first`."""
    stop = [max(box.stop[axis] for box in boxes) for axis in range(3)]
    grid = [(b - a) // width for a, b in zip(first, stop)]
    window = gaussian_window(tuple(n // width for n in boxes[0].shape))
    sums, weight = torch.zeros(len(mixture.experts), *grid), torch.zeros(grid)
    reader = model.local if isinstance(model, GlobalLocalModel) else model
    device = next(model.parameters()).device
    for number, box in enumerate(boxes, start=1):
        shares = shares_of_patch(reader, mixture, cut(padded, box)[None].to(device))[0].float().cpu()
        own = box.shifted(tuple(-a for a in first)).scaled((1 / width,) * 3).slices()
        sums[(slice(None), *own)] += shares * window
        weight[own] += window
        report(number, len(boxes))
    return sums / weight


def _layer(model: nn.Module, chosen: Chosen) -> tuple[int, int]:
    there = list(mixtures(model))
    stage = there[0][0] if chosen.stage is None else chosen.stage
    block = 1 if chosen.block is None else chosen.block
    if (stage, block) not in there:
        raise OptionError(
            f"Stage {stage} has no block {block} with experts.",
            why=f"Experts are in {_layers_in_words(there)}.",
            mend="Choose one of these.",
        )
    return stage, block


def _layers_in_words(layers: Iterable[tuple[int, int]]) -> str:
    """Stages and blocks, such as "stages 2 to 4, blocks 1 and 2 each"; stages with other blocks are told apart."""
    blocks: dict[int, list[int]] = {}
    for stage, block in layers:
        blocks.setdefault(stage, []).append(block)
    alike: dict[tuple[int, ...], list[int]] = {}
    for stage, own in sorted(blocks.items()):
        alike.setdefault(tuple(sorted(own)), []).append(stage)
    return "; ".join(
        f"{_numbered('stage', stages)}, {_numbered('block', own)}{' each' if len(stages) > 1 else ''}"
        for own, stages in alike.items()
    )


def _numbered(word: str, numbers: Sequence[int]) -> str:
    """ "block 3", "blocks 1 and 2", "blocks 1, 2 and 4", or "blocks 1 to 4" where none is left out."""
    if len(numbers) == 1:
        return f"{word} {numbers[0]}"
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{word}s {numbers[0]} to {numbers[-1]}"
    return f"{word}s {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def _check(volume: Volume, bundle: Bundle, centre: Index | None) -> None:
    channels = volume.array.shape[0]
    if channels != len(bundle.channels):
        raise OptionError(
            f"The volume has {channels} channel{'s' if channels > 1 else ''}.",
            why=f"Bundle {bundle.name!r} was trained on {len(bundle.channels)} ({', '.join(bundle.channels)}).",
            mend="Choose a volume of that kind.",
        )
    if centre is not None and not all(0 <= c < n for c, n in zip(centre, volume.shape)):
        raise OptionError(
            f"The centre is {centre}.",
            why=f"The volume has {' × '.join(map(str, volume.shape))} voxels, counted from 0.",
            mend="Give a voxel of the volume.",
        )
    check_grid(volume.shape, volume.spacing_mm, volume.direction)
    check_intensities(volume.array, bundle.modality, volume.modality)


def _window(bundle: Bundle, model: nn.Module) -> tuple[Index, float, float]:
    """Patch size, overlap and padding of the bundle's own sliding window; of NMSW its patches and their overlap."""
    if isinstance(model, GlobalLocalModel):
        return tuple(model.patch_size), model.overlap, float(bundle.strategy.options.get("pad_value", 0.0))
    options = read_options(sliding_window.Options, bundle.strategy.options)
    sliding_window.check_model(model, options)
    return tuple(options.patch_size), options.overlap, options.pad_value


def _patch_around(centre: Index, prepared: Prepared, before: Index, size: Index, shape: Index) -> PatchBox:
    """The patch of the padded volume around a voxel of the input, moved inside."""
    voxel = to_prepared(PatchBox(centre, tuple(c + 1 for c in centre)), prepared)
    if voxel is None:
        raise OptionError(
            f"The centre is {centre}.",
            why="It lies outside of what the bundle keeps of the volume, which is cropped to the body.",
            mend="Give a voxel nearer to its middle.",
        )
    middle = [(a + b) // 2 + front for a, b, front in zip(voxel.start, voxel.stop, before)]
    start = tuple(min(max(c - n // 2, 0), length - n) for c, n, length in zip(middle, size, shape))
    return PatchBox(start, tuple(a + n for a, n in zip(start, size)))


def _in_input(box: PatchBox, before: Index, prepared: Prepared) -> PatchBox:
    inside = box.shifted(tuple(-a for a in before)).intersection(PatchBox((0, 0, 0), prepared.array.shape[1:]))
    return to_source(inside, prepared)
