"""Who is told what happens during a run of the pipeline."""

import numpy as np

from EfficientSegLib.geometry import PatchBox, ScoredBox
from EfficientSegLib.protocol import Reviewed


class Listener:
    """Told what happens during a run; does nothing by itself. Boxes and labels are those of the input volume."""

    def progress(
        self, stage: str, fraction: float, done: int = 0, total: int = 0, seconds_left: float | None = None
    ) -> None:
        """A stage goes on; `fraction` is of the whole run."""

    def patches(self, boxes: tuple[ScoredBox, ...], candidates: int) -> None:
        """The patches to be read, best first."""

    def class_weights(self, weights: dict[int, float]) -> None:
        """How far each label (by value) trusts the patches."""

    def partial(self, labels: np.ndarray, box: PatchBox, patches_read: int, patches_total: int) -> None:
        """Labels so far, of one box; the first box is the whole volume."""

    def pace(self, patch_seconds: float, patches_spent: float, finish_seconds: float, candidates: int) -> None:
        """How long patches take.

        Args:
            patch_seconds: one more patch, with its labels on the way.
            patches_spent: so far, for all of them.
            finish_seconds: from the last patch until the labels are made.
            candidates: patches that could be read in all.
        """

    def reviewed(self, found: Reviewed) -> None:
        """What the patches changed, and where to look; where nobody overrides this, it is not found out."""

    @property
    def wants_review(self) -> bool:
        return type(self).reviewed is not Listener.reviewed

    def tokens(self, depths: np.ndarray, stages: int) -> None:
        """Where tokens were dropped, (I, J, K), uint8, where that was asked for; see `protocol.Tokens`."""

    def moved(self, device: str, precision: str) -> None:
        """The network is asked on another device from here on; why, is said by a warning."""

    def warn(self, text: str) -> None:
        """Something odd that does not stop the run."""

    def should_stop(self) -> bool:
        """Asked before every patch; after True the work so far is returned."""
        return False
