"""Which tokens feed which expert of a soft mixture: the dispatch weights of a patch, added up over an expert's slots.

Letters: B batch, m tokens, C channels, E experts, s slots of each.
"""

from torch import Tensor, nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.networks import GlobalLocalModel, PatchModel
from EfficientSegLib.networks.soft_moe import SoftMoE
from EfficientSegLib.networks.swin_smt import SwinSMT, stages

STRIP = 1 << 24  # entries of the table of shares that exist at one time: 64 MB


def mixtures(model: nn.Module) -> dict[tuple[int, int], SoftMoE]:
    """The layers with experts by (stage, block), both counted from 1, stage 1 being the one with the most tokens.

    Raises:
        OptionError: the network that reads patches has none.
    """
    network = model.local_network if isinstance(model, GlobalLocalModel) else model
    found = {
        (stage, number): block.mlp
        for stage, layer in enumerate(stages(network.network) if isinstance(network, SwinSMT) else [], start=1)
        for number, block in enumerate(layer.blocks, start=1)
        if isinstance(block.mlp, SoftMoE)
    }
    if not found:
        raise OptionError(
            "The network has no experts.",
            why="Only 'swin_smt' has, alone or as local network of 'nmsw', unless its option experts is 0.",
            mend="Choose a bundle with such a network.",
        )
    return found


def token_size(stage: int) -> int:
    """Width of a token in voxels, in the layers of a stage."""
    return 2**stage


def shares_of_patch(reader: PatchModel, mixture: SoftMoE, patch: Tensor) -> Tensor:
    """How much each token of a patch gives to each expert, (B, E, i, j, k) on the grid of the layer's tokens.

    Of every expert they add to s over the tokens, s being how many slots it has. The network is passed up to this
    layer only.

    Args:
        reader: what maps patches to logits, in the form for inference or plain.
        mixture: one of its layers.
        patch: (B, C, I, J, K).
    """
    hook = mixture.register_forward_pre_hook(_stop)
    try:
        reader(patch)
    except _Arrived as arrived:
        x = arrived.given
    finally:
        hook.remove()
    tokens = mixture.tokens(x)
    shares = dispatch_shares(tokens, mixture.slots(tokens), len(mixture.experts))
    return shares.unflatten(2, x.shape[1:-1])


def dispatch_shares(tokens: Tensor, slots: Tensor, experts: int) -> Tensor:
    """Dispatch weights summed over the slots of each expert, (B, m, C) and (B, E s, C) -> (B, E, m).

    The table of all pairs is made strip by strip: a softmax over the tokens needs one slot at a time.
    """
    batch, count, _ = tokens.shape
    rows = max(STRIP // (batch * count), 1)
    shares = tokens.new_zeros(batch, experts, count)
    for expert, own in enumerate(slots.chunk(experts, dim=1)):
        for strip in own.split(rows, dim=1):
            shares[:, expert] += (strip @ tokens.mT).softmax(2).sum(1)
    return shares


class _Arrived(Exception):
    """The pass has reached the layer that was asked for; what follows would be computed for nothing."""

    def __init__(self, given: Tensor) -> None:
        super().__init__("arrived")
        self.given = given


def _stop(layer: nn.Module, given: tuple[Tensor]) -> None:
    raise _Arrived(given[0])
