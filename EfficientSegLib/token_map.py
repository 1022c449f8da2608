"""Where a network of tokens stopped computing them, on the input's grid: what it says of its own attention."""

import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.preprocess import Prepared
from EfficientSegLib.restore import restore_nearest
from EfficientSegLib.strategies import Prediction
from EfficientSegLib.volume import Volume, write


@dataclass(frozen=True)
class TokenMap:
    """At which stage each voxel's token was dropped."""

    depths: np.ndarray = field(repr=False)  # (I, J, K), uint8: 0 not read, 1 to stages dropped there, stages + 1 kept
    stages: int
    prune_ratio: float  # of this run

    def counts(self) -> list[int]:
        """Voxels of each value, 0 to stages + 1."""
        counts = np.zeros(self.stages + 2, dtype=np.int64)
        for plane in np.moveaxis(self.depths, -1, 0):  # the whole at once would be counted as eight-byte integers
            counts += np.bincount(plane.ravel(order="K"), minlength=len(counts))
        return counts.tolist()

    def write(self, volume: Volume, path: str | os.PathLike) -> None:
        """Write the depths as a label map on the grid of the volume that was read.

        Raises:
            VolumeError: the file cannot be written.
        """
        write(Volume(self.depths[None], volume.spacing_mm, volume.origin_mm, volume.direction), path)

    def summary(self, file: str) -> dict[str, Any]:
        """For the run record; `file` is where the map lies."""
        not_read, *dropped, kept = self.counts()
        voxels = {"not_read": not_read, "dropped": dropped, "kept": kept}
        return {"file": file, "stages": self.stages, "prune_ratio": self.prune_ratio, "voxels": voxels}


def token_map(prediction: Prediction, prepared: Prepared, region: PatchBox | None) -> TokenMap | None:
    """What the patches read so far said of tokens; None where the network has none.

    Args:
        region: of the input volume; outside it the map is 0, as labels are. None is all of it.
    """
    if prediction.depths is None:
        return None
    box = whole(tuple(prepared.array.shape[1:])).shifted(prediction.origin)
    depths = restore_nearest(prediction.depths.painted(box), prepared, region)
    return TokenMap(depths, prediction.depths.stages, prediction.prune_ratio)
