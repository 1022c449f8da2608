"""The plain sliding window: every patch of the grid, weighted by a Gaussian, summed.

The patches are read while the logits are asked for, slab by slab along the last axis, and forgotten behind: at no time
do the logits of more than one row of patches exist. Equal to MONAI's `sliding_window_inference` (gaussian).
"""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index, PatchBox, patch_grid
from EfficientSegLib.networks import GlobalLocalModel, PatchModel
from EfficientSegLib.networks.patch_size import refuse_size
from EfficientSegLib.patches import BLOCK, Blend, cut, gaussian_window, pad_to
from EfficientSegLib.strategies import Prediction, Watcher, wrong_model
from EfficientSegLib.strategies.fallback import Fallback
from EfficientSegLib.strategies.preference import Preference, refuse_order
from EfficientSegLib.strategies.tokens import PatchReader, check_ratio, prune_ratio_of

LAZY = True  # see `strategies.reads_lazily`


@dataclass(frozen=True)
class Options:
    """How the window slides."""

    patch_size: tuple[int, int, int] | None = None  # null: the model's own, where it has one
    overlap: float = 0.5  # shared by neighbouring patches; cost grows steeply with it
    pad_value: float = 0.0  # network value of air, for volumes smaller than a patch
    memory_mb: float = 2000.0  # patch logits kept in memory; the rest lies in a mapped file
    prune_ratio: float | None = None  # of tokens, by a network that drops some; null: as the bundle says

    def __post_init__(self) -> None:
        check_ratio(self.prune_ratio)


class Windows:
    """Logits that are computed when they are first asked for, in order of the last axis. A `LogitField`."""

    def __init__(
        self,
        padded: Tensor,
        shape: Index,
        offset: Index,
        num_labels: int,
        predictor: Callable[[Tensor, PatchBox], Tensor],
        boxes: list[PatchBox],
        options: Options,
        watcher: Watcher,
    ) -> None:
        self.shape = shape
        self.num_labels = num_labels
        self.patches_read = 0
        self._padded = padded
        self._offset = offset  # of the field's first voxel
        self._predictor = predictor  # patch (C, *patch) and its box -> logits (L, *patch)
        self._boxes = boxes  # ascending along the last axis
        self._options = options
        self._watcher = watcher
        self._stopped = False
        self._window = gaussian_window(boxes[0].shape)
        alive = min((boxes[0].shape[2] + 3 * BLOCK) / padded.shape[3], 1.0)
        self._blend = Blend(num_labels, boxes, options.memory_mb, alive=alive)

    def region(self, box: PatchBox) -> Tensor:
        """Logits (L, *box.shape); regions must be asked for with a last axis that never starts further back."""
        box = box.shifted(self._offset)
        self._blend.forget_before(box.start[2])
        while self.patches_read < len(self._boxes):
            patch = self._boxes[self.patches_read]
            if patch.start[2] >= box.stop[2] or self._stops():
                break
            self._blend.add(self._predictor(cut(self._padded, patch), patch), patch, self._window)
            self.patches_read += 1
            self._watcher.refined(None, None, self.patches_read, len(self._boxes))
        return self._blend.region(box)[0]

    def winner(self, box: PatchBox) -> None:
        """Nothing is known before the patches are read."""

    def _stops(self) -> bool:
        self._stopped = self._stopped or self._watcher.should_stop()
        return self._stopped


def check_model(model: nn.Module, options: Options) -> None:
    """Refuse what `predict` cannot read; nothing is read.

    Raises:
        OptionError: the model has no logits for a patch, no patch size is known, the network cannot read patches of
            this size, or does not bear the prune_ratio.
    """
    if not isinstance(model, (PatchModel, GlobalLocalModel)):
        raise wrong_model("sliding_window", "the strategy that bundle.json names")
    _patch_size(model, options)
    prune_ratio_of(model, options.prune_ratio)


def _patch_size(model: PatchModel | GlobalLocalModel, options: Options) -> Index:
    """The option, or the model's own; a network of one size reads no other, and all have multiples."""
    local = getattr(model, "local_network", None) if isinstance(model, GlobalLocalModel) else model
    size = options.patch_size or getattr(model, "patch_size", None)
    if size is None:
        raise OptionError("patch_size is null.", why="This network has none of its own.", mend="Give three numbers.")
    refuse_size(size, local)
    return tuple(size)


def predict(
    volume: Tensor,
    model: PatchModel,
    options: Options,
    watcher: Watcher | None = None,
    preference: Preference | None = None,
) -> Prediction:
    """Segment a prepared volume (C, I, J, K), float32, on the CPU; the model may be on any device.

    A `GlobalLocalModel` is used by its local network alone, on its own patch size. With a region, only the windows that
    touch it are read; the logits beyond are not to be used.

    Raises:
        OptionError: see `check_model`, or another order is wanted.
    """
    refuse_order(preference, "sliding_window")
    check_model(model, options)
    patch_size = _patch_size(model, options)
    watcher = watcher or Watcher()
    read = PatchReader(model, options.prune_ratio, fallback=Fallback(model, watcher))
    padded, offset = pad_to(volume, patch_size, options.pad_value)
    boxes = sorted(patch_grid(tuple(padded.shape[1:]), patch_size, options.overlap), key=lambda box: box.start[2])
    if preference is not None and preference.region is not None:
        region = preference.region.shifted(offset)
        boxes = [box for box in boxes if box.intersection(region)]
    shape = tuple(volume.shape[1:])
    logits = Windows(padded, shape, offset, model.num_labels, read, boxes, options, watcher)
    tokens = {"depths": read.depths, "origin": offset, "prune_ratio": read.prune_ratio}
    return Prediction(logits, (), len(boxes), planned=len(boxes), **tokens)
