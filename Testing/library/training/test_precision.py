"""Mixed precision: the same gradients where the hardware's own would be garbage; a step that overflows is left out."""

import pytest
import torch
from torch import nn

from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import TrainConfig
from EfficientSegLib.training.loop import train
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.precision import Precision, guarded, is_faulty, is_slow
from EfficientSegLib.training.processes import Place

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


def config(tiny_json, **changes) -> TrainConfig:
    return read_options(TrainConfig, {**tiny_json, **changes})


def weight_gradient(convolution: nn.Conv2d | nn.Conv3d, size: tuple[int, ...], precision: Precision) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    convolution.zero_grad()
    with precision.autocast():
        y = convolution(torch.randn(1, convolution.in_channels, *size, generator=generator)).float()
    (y * torch.randn(y.shape, generator=generator)).sum().backward()
    return convolution.weight.grad.clone()


@pytest.mark.parametrize(
    "size, stride", [((2, 2, 2), 1), ((2, 4, 4), 1), ((2, 1, 1), 1), ((8, 1, 4), 2), ((6, 5, 1), 2), ((3, 3, 3), 1)]
)
def test_gradients_in_bf16_equal_those_in_fp32_at_the_smallest_sizes(size, stride):
    torch.manual_seed(0)
    convolution = nn.Conv3d(16, 16, 3, stride, 1)
    exact = weight_gradient(convolution, size, Precision(CPU, None))
    mixed = Precision(CPU, torch.bfloat16)
    guarded(convolution, mixed)
    assert (weight_gradient(convolution, size, mixed) - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "size, stride", [((1, 1), 1), ((2, 2), 1), ((2, 2), 2), ((3, 3), 2), ((1, 1), 2), ((2, 1), 2), ((8, 1), 2)]
)
def test_gradients_of_slices_in_bf16_equal_those_in_fp32_at_the_smallest_sizes(size, stride, layout):
    torch.manual_seed(0)
    convolution = nn.Conv2d(16, 32, 3, stride, 1).to(memory_format=layout)
    exact = weight_gradient(convolution, size, Precision(CPU, None))
    mixed = Precision(CPU, torch.bfloat16)
    guarded(convolution, mixed)
    assert (weight_gradient(convolution, size, mixed) - exact).norm() < 0.02 * exact.norm()


@pytest.mark.parametrize(
    "kernel, stride, size, faulty",
    [
        (3, 1, (2, 16, 16), True),
        (3, 1, (3, 2, 1), False),
        (3, 2, (8, 1, 8), True),
        (3, 2, (8, 8, 1), True),
        (3, 2, (8, 8, 8), False),
        (1, 1, (2, 2, 2), False),
    ],
)
def test_only_sizes_measured_to_be_wrong_leave_bf16(kernel, stride, size, faulty):
    assert is_faulty(nn.Conv3d(4, 4, kernel, stride, kernel // 2), size) is faulty


def test_of_slices_only_strides_over_a_last_axis_of_one_leave_bf16():
    assert is_faulty(nn.Conv2d(4, 4, 3, 2, 1), (8, 1))
    assert not is_faulty(nn.Conv2d(4, 4, 3, 2, 1), (1, 8))
    assert not is_faulty(nn.Conv2d(4, 4, 3, 1, 1), (1, 1))


def test_in_fp32_nothing_is_changed():
    convolution = nn.Conv3d(4, 4, 3, padding=1)
    before = convolution.forward
    assert guarded(convolution, Precision(CPU, None)).forward == before


def test_a_training_in_bf16_comes_near_one_in_fp32(tiny_json, data_folder):
    losses = []
    for precision in ("fp32", "bf16"):
        run = Run(config(tiny_json, precision=precision), data_folder, Place(0, 1))
        assert all(parameter.dtype == torch.float32 for parameter in run.model.parameters())
        losses.append(sum(run.step().values()))
    assert losses[1] == pytest.approx(losses[0], rel=0.03)
    assert losses[1] != losses[0]


def test_a_step_whose_gradients_overflow_in_fp16_is_left_out_and_the_scale_lowered(tiny_json, data_folder):
    run = Run(config(tiny_json), data_folder, Place(0, 1))
    run.precision = Precision(CPU, torch.float16)
    run.precision.scaler.load_state_dict({**run.precision.scaler.state_dict(), "scale": 2.0**120})
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.step()
    assert run.precision.scaler.get_scale() == 2.0**119
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())
    assert run.course.step == 1


def test_the_scale_of_the_loss_goes_on_with_the_checkpoint(tiny_json, data_folder):
    runs = [Run(config(tiny_json), data_folder, Place(0, 1)) for _ in range(2)]
    for run in runs:
        run.precision = Precision(CPU, torch.float16)
    runs[0].precision.scaler.load_state_dict({**runs[0].precision.scaler.state_dict(), "scale": 512.0})
    runs[0].step()
    runs[1].load(runs[0].state())
    assert runs[1].precision.scaler.get_scale() == 512.0


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_on_a_gpu_goes_on_on_a_cpu(tiny_json, data_folder, tmp_path, precision):
    on_gpu = Run(config(tiny_json, precision=precision), data_folder, Place(0, 1, torch.device("cuda", 0)))
    on_cpu = Run(config(tiny_json, precision=precision), data_folder, Place(0, 1))
    assert sum(on_gpu.step().values()) == pytest.approx(sum(on_cpu.step().values()), rel=0.05)
    train(config(tiny_json, precision=precision), data_folder, tmp_path, device="cuda")
    train(config(tiny_json, precision=precision), data_folder, tmp_path, device="cpu")


def test_depthwise_convolutions_with_a_stride_stay_in_float32():
    depthwise, plain = nn.Conv2d(8, 8, 3, 2, 1, groups=8), nn.Conv2d(8, 8, 3, 2, 1)
    assert is_slow(depthwise, (16, 16)) and not is_slow(plain, (16, 16))
    assert not is_slow(nn.Conv2d(8, 8, 3, 1, 1, groups=8), (16, 16))
    assert not is_slow(nn.Conv3d(8, 8, 3, 2, 1, groups=8), (16, 16, 16))
    model = guarded(nn.Sequential(depthwise), Precision(torch.device("cpu"), torch.bfloat16))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(torch.zeros(1, 8, 16, 16)).dtype == torch.float32
