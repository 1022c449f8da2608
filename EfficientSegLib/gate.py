"""What is known of a bundle's labels in reduced precision; a part of its manifest."""

from dataclasses import dataclass
from typing import Literal

# What bfloat16 may change. Two observers' drawings differ by 5 to 20 times as much, and one voxel in a thousand lies at
# borders; Dice on top, since a small structure could vanish without being noticed among all voxels.
LEAST_AGREEMENT = 0.999
LEAST_DICE = 0.99


@dataclass(frozen=True)
class Gate:
    """Whether labels in bfloat16 are those in single precision: measured with the weights, never assumed."""

    precision: Literal["bf16"]
    backend: Literal["torch", "openvino"]
    weights_sha256: str  # of the weights measured; with others it says nothing
    agreement: float  # share of voxels with the same label, the lowest of all volumes
    lowest_dice: float  # between the two, the lowest of all shown labels and volumes
    labels: tuple[int, ...]  # values that occurred; the others are unverified
    on: tuple[str, ...]  # file names of the volumes measured
    measured: str = ""  # day, and versions

    @property
    def passed(self) -> bool:
        return self.agreement >= LEAST_AGREEMENT and self.lowest_dice >= LEAST_DICE
