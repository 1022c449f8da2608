"""What slice networks can read."""

from torch import Tensor

from EfficientSegLib.errors import OptionError, VolumeError

SIZE_MULTIPLE = (32, 32)  # the encoders halve height and width five times


def check_channels(in_channels: int) -> None:
    """Refuse volumes of several channels.

    Raises:
        OptionError: there is not exactly one.
    """
    if in_channels != 1:
        raise OptionError(
            f"The volume has {in_channels} channels.",
            why="A slice network reads neighbouring slices of one channel.",
            mend="Choose a volume of one channel, or a network that reads patches.",
        )


def check_stack(stack: Tensor, slices: int, position: Tensor | None = None) -> None:
    """Refuse what is no (B, slices, H, W) with H and W multiples of 32, or positions that are not (B,).

    Raises:
        VolumeError: it is not.
    """
    if stack.dim() != 4 or stack.shape[1] != slices:
        raise VolumeError(
            f"The stack of slices has shape {tuple(stack.shape)}.",
            why=f"This network reads {slices} neighbouring slices at once: (B, {slices}, H, W).",
            mend="Give every slice its neighbours, the outermost ones repeated at the ends of the volume.",
        )
    height, width = stack.shape[2:]
    if height % SIZE_MULTIPLE[0] or width % SIZE_MULTIPLE[1] or 0 in (height, width):
        raise VolumeError(
            f"The slices have {height} × {width} pixels.",
            why=f"The network halves both five times, which needs multiples of {SIZE_MULTIPLE[0]}, at least one each.",
            mend="Pad the slices, and crop the masks back; the strategy 'slices' does so.",
        )
    if position is not None and position.shape != stack.shape[:1]:
        raise VolumeError(
            f"The positions of {stack.shape[0]} slices have shape {tuple(position.shape)}.",
            why="Every slice of a batch lies at one place in the scan.",
            mend="Give one number from 0 to 1 for each, or None where it is unknown.",
        )
