"""Every setting that makes a network faster without changing what it computes: for training, and for inference.

**Instance normalisation.** On CPUs `InstanceNorm3d` is up to ten times slower in the channels-last layout than its
equals: batch normalisation without running statistics (for batches of one, forward and backward), and group
normalisation with one group per channel (any batch, forward only: its backward pass is slow in that layout).
**Layout.** Convolutions read and write channels last; depthwise ones are several times slower otherwise. On CPUs torch
takes a slow path of its own for small inputs, which also loses the layout; oneDNN is called directly instead.
**Activations in place**, where nobody else reads what they overwrite: memory that is touched for the first time costs
more than the arithmetic.
**Attention** by torch's fused kernel, which never writes the table of all pairs down, where MONAI offers it.
**bfloat16**, where it is asked for: convolutions and linear layers only; norms, softmax and sums stay in float32 or are
accumulated in it, and what goes in and comes out is float32. Parts that a model names in `decisive` stay in float32
as a whole: what decides which patches are read decides the same on every processor.

Whether bfloat16 may be used is not decided here, see `devices.choose_precision`.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from EfficientSegLib.networks import GlobalLocalModel, PatchModel, SliceModel
from EfficientSegLib.networks.inference_slices import slices_for_inference
from EfficientSegLib.networks.small_convolution import SmallConvolution

_CONVOLUTIONS = {nn.Conv2d: torch.channels_last, nn.ConvTranspose2d: torch.channels_last}
_CONVOLUTIONS |= {nn.Conv3d: torch.channels_last_3d, nn.ConvTranspose3d: torch.channels_last_3d}
_MAKES_NEW = (nn.GroupNorm, nn.Linear, *_CONVOLUTIONS)  # modules whose output is theirs alone and is not their input


def for_training(model: nn.Module) -> nn.Module:
    """Change `model` in place for batches of one sample; returns it. State dictionaries stay interchangeable.

    Convolutions over few voxels take the fast way that torch leaves out, see `small_convolution`.
    """
    for parent, name, norm in _children(model, nn.InstanceNorm3d):
        if not norm.affine and not norm.track_running_stats:
            new = nn.BatchNorm3d(norm.num_features, norm.eps, affine=False, track_running_stats=False)
            setattr(parent, name, new)
    _channels_last(model)
    for layer in model.modules():
        if SmallConvolution.fits(layer):
            layer.__class__ = SmallConvolution  # the same parameters under the same names
    return model


def for_inference(model: nn.Module, precision: str = "fp32") -> nn.Module:
    """Change `model`, its weights loaded, in place for passes without gradients in evaluation mode; returns it.

    The weights become part of the settings: a state dictionary does not fit any more.

    Args:
        model: any network of the registry, on the CPU.
        precision: "fp32", or "bf16" for convolutions and linear layers in bfloat16; logits stay float32.
    """
    if isinstance(model, SliceModel):
        return slices_for_inference(model, precision)
    _group_norms(model)
    _in_place(model)
    _fuse_attention(model)
    _channels_last(model.eval())
    for name, network in parts(model):
        bfloat16 = precision == "bf16" and name not in getattr(model, "decisive", ())
        if bfloat16:
            _weights_to_bfloat16(network)
        elif torch.backends.mkldnn.is_available():
            _by_onednn(network)
        for method in ("forward", "features_and_logits", "with_depths"):
            if hasattr(network, method):
                setattr(network, method, _Entry(getattr(network, method), bfloat16))
    return model


def _children(model: nn.Module, kind: type | tuple[type, ...]) -> list[tuple[nn.Module, str, nn.Module]]:
    """(parent, name, child) of every child of a kind."""
    return [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, kind)
    ]


def parts(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Name and network of what maps a volume to logits; what lies around (scores, class weights) stays as it is."""
    if isinstance(model, GlobalLocalModel):
        return [(name, child) for name, child in model.named_children() if isinstance(child, PatchModel)]
    return [("", model)]


def _group_norms(model: nn.Module) -> None:
    for parent, name, norm in _children(model, (nn.InstanceNorm2d, nn.InstanceNorm3d)):
        if not norm.track_running_stats:
            new = nn.GroupNorm(norm.num_features, norm.num_features, norm.eps, affine=norm.affine)
            if norm.affine:
                new.weight, new.bias = norm.weight, norm.bias
            setattr(parent, name, new)


def _in_place(model: nn.Module) -> None:
    """Activations behind a convolution or a norm in a `Sequential`, and those that a network says are safe.

    A network's module says so with `fresh`: names of its children that read what was made for them alone.
    """
    for parent in list(model.modules()):
        children = list(parent.named_children())
        safe = set(getattr(parent, "fresh", ()))
        if isinstance(parent, nn.Sequential):
            safe |= {name for (_, before), (name, _) in pairwise(children) if isinstance(before, _MAKES_NEW)}
        for name, child in children:
            if name in safe:
                setattr(parent, name, _as_in_place(child))


def _as_in_place(activation: nn.Module) -> nn.Module:
    if isinstance(activation, nn.PReLU) and activation.num_parameters == 1:
        return nn.LeakyReLU(float(activation.weight.detach()), inplace=True)
    if isinstance(activation, nn.GELU):
        return _GELU(activation.approximate)
    if isinstance(activation, (nn.LeakyReLU, nn.ReLU)):
        activation.inplace = True
    return activation


class _GELU(nn.Module):
    """GELU that overwrites its input; torch's module cannot."""

    def __init__(self, approximate: str) -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.aten.gelu_(x, approximate=self.approximate)


def _fuse_attention(model: nn.Module) -> None:
    for layer in model.modules():
        if hasattr(layer, "use_flash_attention"):  # MONAI 1.6 on; it takes effect without gradients only
            layer.use_flash_attention = True


def _channels_last(model: nn.Module) -> nn.Module:
    for layer in model.modules():
        if type(layer) in _CONVOLUTIONS:
            # A copy: what has one channel counts as being in this layout already, and would keep other strides.
            layer.weight.data = layer.weight.data.clone(memory_format=_CONVOLUTIONS[type(layer)])
    return model


def _by_onednn(network: nn.Module) -> None:
    for layer in network.modules():
        if type(layer) is nn.Conv3d and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
            layer.__class__ = _OneDNN  # the same parameters under the same names, another way to use them


class _OneDNN(nn.Conv3d):
    """A convolution in float32 that takes oneDNN on CPUs whatever the size of its input, and keeps channels last."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype != torch.float32:
            return super().forward(x)
        return torch.mkldnn_convolution(
            x, self.weight, self.bias, self.padding, self.stride, self.dilation, self.groups
        )


def _weights_to_bfloat16(network: nn.Module) -> None:
    """All but those of modules that say `in_float32`: these also see to it that autocast is off inside."""
    exact = {layer for part in network.modules() if getattr(part, "in_float32", False) for layer in part.modules()}
    for layer in network.modules():
        if isinstance(layer, (nn.Linear, *_CONVOLUTIONS)) and layer not in exact:
            layer.to(torch.bfloat16)


class _Entry:
    """Around a network's method: the input's layout, and bfloat16 inside only."""

    def __init__(self, method: Callable[[Tensor], Tensor | tuple[Tensor, ...]], bfloat16: bool) -> None:
        self._method = method
        self._bfloat16 = bfloat16

    def __call__(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        # A copy, since one channel fits both layouts, and convolutions would then take the slow one.
        x = x.clone(memory_format=torch.channels_last_3d if x.dim() == 5 else torch.channels_last)
        if not self._bfloat16:
            return self._method(x)
        with torch.autocast(x.device.type, torch.bfloat16):
            found = self._method(x)
        return _float32(found) if isinstance(found, Tensor) else tuple(_float32(tensor) for tensor in found)


def _float32(found: Tensor) -> Tensor:
    return found.float() if found.is_floating_point() else found
