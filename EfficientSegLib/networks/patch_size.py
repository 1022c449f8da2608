"""Which patches a network reads: some have one size for good, the others multiples of something."""

from typing import Any

from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import Index


def refuse_size(size: Index, network: Any, name: str = "this network") -> None:
    """Refuse a patch size that a `PatchModel` cannot read, and name one that it can.

    Args:
        size: voxels.
        network: a `PatchModel`, or the options of one: what they say alike is `size_multiple`, and where there is more
            to say `patch_size` (of options `chosen_patch`) or `refuse_shape`. None is not known: everything goes.
        name: what the network is called.

    Raises:
        OptionError: it is another size than the network's only one, or no multiple of what it needs, or the network's
            own `refuse_shape` does not bear it.
    """
    fixed = getattr(network, "chosen_patch", None) or getattr(network, "patch_size", None)
    if fixed is not None and tuple(size) != tuple(fixed):
        raise OptionError(
            f"patch_size is {tuple(size)}.",
            why=f"The positions in {name} were made for patches of {tuple(fixed)} voxels, and fit no others.",
            mend=f"Use {tuple(fixed)}.",
        )
    multiples = getattr(network, "size_multiple", (1, 1, 1))
    if any(length < 1 or length % multiple for length, multiple in zip(size, multiples)):
        fitting = tuple(max(-(-length // multiple), 1) * multiple for length, multiple in zip(size, multiples))
        raise OptionError(
            f"patch_size is {tuple(size)}.",
            why=f"Axes that {name} reads are multiples of {tuple(multiples)} voxels.",
            mend=f"Use {fitting}.",
        )
    if hasattr(network, "refuse_shape"):
        network.refuse_shape(tuple(size))
