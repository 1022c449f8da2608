"""Slice networks run by OpenVINO; see `networks.openvino`."""

import torch
from torch import Tensor, nn

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.networks.openvino import Converted


class OpenVINOSlices(nn.Module):
    """Meets `SliceModel` as far as inference goes; the mask, and presence where the converted network has such a head.

    Without a position another form of the network is converted, when it is first asked for. `heads` is for training.
    """

    def __init__(self, network: nn.Module, precision: str) -> None:
        super().__init__()
        self.size_multiple, self.num_outputs, self.slices = network.size_multiple, network.num_outputs, network.slices
        self.place = nn.Parameter(torch.empty(0), requires_grad=False)  # callers ask the parameters for the device
        self._plain = [network]  # in a list: its weights are not this module's, and OpenVINO holds them again
        self._precision = precision
        self._forms: dict[tuple[bool, bool], Converted] = {}
        self._form(False, True)  # what cannot be converted is refused before anything is read

    def forward(self, stack: Tensor, position: Tensor | None = None) -> Tensor:
        """(B, S, H, W) and where each slice lies (B,) -> mask logits (B, K, H, W).

        Raises:
            VolumeError: the stack has another number of slices, or a size the network cannot halve often enough.
        """
        return self._run(False, stack, position)[0]

    def with_presence(self, stack: Tensor, position: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Mask logits, and logits (B, K) that a label is in the slice or None; raises as `forward`."""
        mask, *presence = self._run(True, stack, position)
        return mask, presence[0] if presence else None

    def heads(self, stack: Tensor, position: Tensor | None = None) -> None:
        """Not here.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("Networks run by OpenVINO are not trained.")

    def _run(self, presence: bool, stack: Tensor, position: Tensor | None) -> list[Tensor]:
        sides = zip(stack.shape[2:], self.size_multiple)
        if stack.dim() != 4 or stack.shape[1] != self.slices or any(n % of or n == 0 for n, of in sides):
            raise VolumeError(
                f"The stack of slices has shape {tuple(stack.shape)}.",
                why=f"This network reads (B, {self.slices}, H, W), height and width multiples of {self.size_multiple}.",
                mend="Pad the slices, and crop the masks back; the strategy 'slices' does so.",
            )
        given = (stack,) if position is None else (stack, position)
        return self._form(presence, position is not None)(*given)

    def _form(self, presence: bool, placed: bool) -> Converted:
        if (presence, placed) not in self._forms:
            sizes = (2 * multiple for multiple in self.size_multiple)
            examples = (torch.zeros(1, self.slices, *sizes), torch.zeros(1))[: 2 if placed else 1]
            self._forms[presence, placed] = Converted(_Asked(self._plain[0], presence), examples, self._precision)
        return self._forms[presence, placed]


class _Asked(nn.Module):
    """One way to ask a slice network, with tensors only."""

    def __init__(self, network: nn.Module, presence: bool) -> None:
        super().__init__()
        self.network, self.presence = network, presence

    def forward(self, stack: Tensor, position: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        if not self.presence:
            return self.network(stack, position)
        mask, presence = self.network.with_presence(stack, position)
        return mask if presence is None else (mask, presence)
