"""Networks written down as fewer steps compute what they did."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from EfficientSegLib.networks import fused
from EfficientSegLib.networks.fuse import fuse
from EfficientSegLib.networks.fused import FusedConvolution, GatedBlock, times

X = torch.randn(2, 6, 9, 11, generator=torch.Generator().manual_seed(3))


def norm(channels=6):
    layer = nn.BatchNorm2d(channels)
    with torch.no_grad():
        for own in (layer.weight, layer.running_var):
            own.uniform_(0.5, 2)
        for own in (layer.bias, layer.running_mean):
            own.normal_()
    return layer


def convolution(channels=6, size=3, **more):
    return nn.Conv2d(6, channels, size, padding=size // 2, **more)


class Residual(nn.Module):
    """Shapes of addition and of use that must not be confused."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.first, self.second, self.norm = convolution(), convolution(), norm()
        self.act = nn.SiLU(inplace=True)
        self.scale = nn.Parameter(torch.randn(6, 1, 1))

    def forward(self, x):
        return getattr(self, self.kind)(x)

    def before(self, x):
        return torch.relu(self.norm(self.second(self.act(self.first(x)))) + x)

    def after(self, x):
        y = self.first(x)
        return y + self.act(self.second(y))

    def same(self, x):  # what is added is what the convolution reads
        y = self.first(x)
        return y + self.second(y)

    def kept(self, x):  # the sum must not be written into what is read later
        y = self.first(x)
        z = y + self.second(x)
        return [y, z, self.norm(z)]

    def viewed(self, x):
        y = self.first(x)
        part = y[:, :3]
        return [y + self.second(x), part]

    def twice(self, x):
        return self.first(self.first(x)) * 2 + self.norm(self.second(x)) * 3

    def scaled(self, x):
        return x + self.norm(self.second(functional.gelu(self.first(x)))) * self.scale

    def broadcast(self, x):
        return self.first(x).mean((2, 3), keepdim=True) + self.second(x)

    def adopted(self, x):  # one sum of two convolutions, each of which could take the other in
        return functional.relu(self.first(x) + self.norm(self.second(x)))

    def gated(self, x):
        y = self.first(x)
        y = y * y.mean((2, 3), keepdim=True).sigmoid()
        return y * self.second(y).amax(1, keepdim=True)

    def backwards(self, x):  # the gate is smaller than what it is multiplied with
        y = self.first(x)
        return self.second(x).mean((2, 3), keepdim=True).sigmoid() * y + y

    def added_into(self, x):
        y = self.first(x)
        z = self.second(x)
        z += y
        return [y, z]


KINDS = [name for name in vars(Residual) if not name.startswith("_") and name != "forward"]


def outputs(model, x):
    with torch.inference_mode():
        found = model(x.clone(memory_format=torch.channels_last))
    return [part.clone() for part in (found if isinstance(found, list) else [found])]


class Around(nn.Module):
    """`fuse` leaves the outermost module what it is."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)


def both(inner, x=X):
    torch.manual_seed(1)
    plain = Around(inner).eval()
    quick = fuse(copy.deepcopy(plain), "fp32")
    for expected, found, again in zip(outputs(plain, x), outputs(quick, x), outputs(quick, x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(found, again)
    return quick


@pytest.mark.parametrize("with_onednn", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_sums_products_and_shortcuts_come_out_as_before(kind, with_onednn, monkeypatch):
    if not with_onednn:
        monkeypatch.setattr(fused, "_onednn_fuses", lambda: False)
    torch.manual_seed(0)
    assert any(isinstance(layer, FusedConvolution) for layer in both(Residual(kind)).modules())


@pytest.mark.parametrize(
    "more",
    [{}, {"stride": 2}, {"dilation": 2}, {"groups": 6}, {"groups": 6, "channels": 12}, {"groups": 2, "bias": False}],
)
@pytest.mark.parametrize("act", [nn.ReLU(), nn.SiLU(), nn.GELU(), nn.Sigmoid(), nn.GELU("tanh"), nn.Hardswish()])
def test_a_convolution_takes_its_norm_and_activation_in(more, act):
    torch.manual_seed(0)
    layer = convolution(**more)
    quick = both(nn.Sequential(layer, norm(layer.out_channels), act))
    left = [type(inner) for inner in quick.inner.children() if not isinstance(inner, FusedConvolution)]
    assert left == ([] if type(act).__name__ not in ("Hardswish",) and "tanh" not in str(act) else [type(act)])


def test_what_cannot_be_followed_stays_and_its_parts_are_fused():
    class Deciding(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(convolution(), norm())

        def forward(self, x, more=None):
            if x.shape[2] > 4 and more is None:
                x = self.body(x)
            return x

    quick = both(Deciding())
    assert isinstance(quick.inner, Deciding) and isinstance(next(quick.inner.body.children()), FusedConvolution)


def test_norms_by_the_batchs_own_statistics_stay():
    quick = both(nn.Sequential(convolution(), nn.BatchNorm2d(6, track_running_stats=False)))
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in quick.modules())


def test_other_sizes_and_batches_than_the_first_are_right_and_weights_are_held_once():
    torch.manual_seed(0)
    quick = both(nn.Sequential(convolution(), norm()))
    layer = next(layer for layer in quick.modules() if isinstance(layer, FusedConvolution))
    weight = layer._packed.to_dense()
    for shape in [(1, 6, 5, 7), (4, 6, 9, 11), (1, 6, 1, 1), (3, 6, 32, 32)]:
        x = torch.randn(shape)
        (found,) = outputs(quick, x)
        torch.testing.assert_close(found, functional.conv2d(x, weight, layer.bias, padding=1), rtol=1e-5, atol=1e-5)
    assert layer.weight is None and len(list(layer.parameters())) == 1


@pytest.mark.parametrize("size", [(32, 32), (7, 8), (9, 5)])
@pytest.mark.parametrize("kernel, stride, dilation", [(3, 2, 1), (5, 3, 1), (3, 1, 2), (1, 2, 1)])
def test_tensorflows_padding_is_kept(size, kernel, stride, dilation):
    class Conv2dSame(nn.Conv2d):  # as timm names it
        def forward(self, x):
            pads = []
            for length in x.shape[:1:-1]:
                missing = max((-(-length // self.stride[0]) - 1) * stride + (kernel - 1) * dilation + 1 - length, 0)
                pads += [missing // 2, missing - missing // 2]
            return self._conv_forward(functional.pad(x, pads), self.weight, self.bias)

    torch.manual_seed(0)
    x = torch.randn(1, 6, *size)
    quick = both(nn.Sequential(Conv2dSame(6, 4, kernel, stride, dilation=dilation), norm(4)), x)
    assert any(isinstance(layer, FusedConvolution) for layer in quick.modules())


class GatedConvBlock(nn.Module):
    """MambaOut's block by its paper, with timm's names (arXiv 2405.07992, algorithm 1)."""

    def __init__(self, channels=12, hidden=32, bias=True):
        super().__init__()
        self.norm, self.act = nn.LayerNorm(channels), nn.GELU()
        self.split_indices = (hidden, hidden - channels, channels)
        self.fc1 = nn.Linear(channels, 2 * hidden, bias=bias)
        self.conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.fc2 = nn.Linear(hidden, channels, bias=bias)
        self.ls = nn.Identity()

    def forward(self, x):
        gate, kept, seen = self.fc1(self.norm(x)).split(self.split_indices, -1)
        seen = self.conv(seen.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return x + self.fc2(self.act(gate) * torch.cat((kept, seen), -1))


@pytest.mark.parametrize("bias", [True, False])
def test_a_gated_block_done_in_portions_is_the_block_done_at_once(bias):
    torch.manual_seed(0)
    plain = nn.Sequential(GatedConvBlock(bias=bias), GatedConvBlock(bias=bias)).eval()
    quick = fuse(Around(copy.deepcopy(plain)), "fp32")
    blocks = [layer for layer in quick.modules() if isinstance(layer, GatedBlock)]
    assert [block.overwrites for block in blocks] == [False, True]
    x = torch.randn(2, 37, 61, 12)  # more pixels than one portion has, and no multiple of it
    before = x.clone()
    with torch.inference_mode():
        torch.testing.assert_close(quick(x), plain(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(x, before)


@pytest.mark.parametrize("gate", [(2, 6, 1, 1), (1, 1, 9, 11), (2, 6, 9, 11), (6, 1, 1)])
def test_a_product_has_the_shape_of_both(gate):
    for one, other in ((X, torch.randn(gate)), (torch.randn(gate), X)):
        torch.testing.assert_close(times(one.clone(), other), one * other)
