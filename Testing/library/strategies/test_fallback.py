"""Memory of a GPU that ends costs one pass: what was read stays, the CPU reads the rest, the result is the same."""

import weakref

import pytest
import torch
from slice_model import tiny
from small_gpu import SmallGpu
from token_model import BrightTokens

from EfficientSegLib import networks
from EfficientSegLib.geometry import whole
from EfficientSegLib.strategies import Watcher, nmsw, random_foreground, slices, sliding_window, zoom_out
from EfficientSegLib.strategies.fallback import Fallback, Standby

UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}
OPTIONS = {"global_options": UNET, "local_options": UNET, "patch_size": [16, 16, 16], "downsampling": [2, 2, 2]}
BY_PATCHES = pytest.mark.parametrize(
    "strategy, options",
    [(nmsw, {"top_k": 6}), (random_foreground, {"top_k": 6}), (sliding_window, {}), (zoom_out, {})],
    ids=["nmsw", "random_foreground", "sliding_window", "zoom_out"],
)


class Heard(Watcher):
    def __init__(self):
        self.warnings, self.moves, self.read = [], [], []

    def moved(self, device, precision, why):
        self.moves.append((device, precision, why, max(self.read, default=0)))

    def warn(self, text):
        self.warnings.append(text)

    def refined(self, logits, box, read, total):
        self.read.append(read)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.fixture
def volume():
    return torch.randn(1, 40, 16, 30, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def model():
    torch.manual_seed(1)
    return networks.build("nmsw", OPTIONS, 1, 3).eval()


def predict(strategy, volume, model, watcher=None, earlier=None, **options):
    further = {} if earlier is None else {"earlier": earlier}
    found = strategy.predict(volume, model, strategy.Options(**options), watcher, **further)
    return found, found.logits.region(whole(found.logits.shape)).clone()


@BY_PATCHES
@pytest.mark.parametrize("last", [0, 1])
def test_a_patch_without_room_and_all_after_it_are_read_on_the_cpu(strategy, options, last, volume, model):
    whole_run, expected = predict(strategy, volume, model, **options)
    gpu, heard = SmallGpu(model, ["local"], lambda number, _: number > last), Heard()
    prediction, logits = predict(strategy, volume, model, heard, **options)
    assert torch.equal(logits, expected)
    assert prediction.logits.patches_read == whole_run.logits.patches_read
    ((device, precision, why, read),) = heard.moves
    assert (device, precision, read) == ("cpu", "fp32", last)
    assert "2.00 GiB more were wanted" in why and "What was read is kept" in why
    assert gpu.passes == last + 2  # tried twice, and then left alone


@pytest.mark.parametrize("strategy", [nmsw, random_foreground, zoom_out])
def test_the_coarse_pass_too(strategy, volume, model):
    _, expected = predict(strategy, volume, model)
    gpu, heard = SmallGpu(model, ["propose", "local"], lambda number, _: True), Heard()
    assert torch.equal(predict(strategy, volume, model, heard)[1], expected)
    assert len(heard.moves) == 1 and gpu.passes == 2  # not asked again for the patches


def test_what_finds_room_the_second_time_stays_where_it_is(volume, model):
    _, expected = predict(nmsw, volume, model, top_k=6)
    gpu, heard = SmallGpu(model, ["propose", "local"], lambda number, _: number in (1, 4, 7)), Heard()
    assert torch.equal(predict(nmsw, volume, model, heard, top_k=6)[1], expected)
    assert (heard.moves, heard.warnings, gpu.passes, gpu.loaded) == ([], [], 3 + 7, 0)


def test_the_next_run_tries_the_device_again_and_goes_on_from_what_was_read(volume, model):
    _, expected = predict(nmsw, volume, model, top_k=8)
    full = [True]
    gpu = SmallGpu(model, ["local"], lambda number, _: full[0] and number > 2)
    first, _ = predict(nmsw, volume, model, top_k=4)
    before, full[0] = gpu.passes, False
    heard = Heard()
    _, logits = predict(nmsw, volume, model, heard, first.reading, top_k=8)
    assert torch.equal(logits, expected)
    assert gpu.passes - before == 4 and not heard.moves  # only what was not read, and on the device


def test_the_standby_is_loaded_once_for_all_runs(volume, model):
    gpu = SmallGpu(model, ["local"], lambda number, _: True)
    for _ in range(2):
        predict(nmsw, volume, model, top_k=2)
    assert (gpu.loaded, gpu.passes) == (1, 4)


@pytest.mark.parametrize(
    "error",
    [
        lambda: RuntimeError("MPS backend out of memory (MPS allocated: 5.0 GB). Tried to allocate 256.00 MB"),
        lambda: RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        lambda: RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
    ],
)
def test_other_devices_and_libraries_say_it_in_other_words(error, volume, model):
    heard = Heard()
    SmallGpu(model, ["local"], lambda number, _: True, error)
    predict(nmsw, volume, model, heard, top_k=1)
    assert len(heard.moves) == 1


@pytest.mark.parametrize(
    "error", [MemoryError("none"), RuntimeError("DefaultCPUAllocator: not enough memory"), RuntimeError("a kernel")]
)
def test_what_is_no_shortage_of_the_device_passes_through(error, volume, model):
    gpu = SmallGpu(model, ["local"], lambda number, _: True, lambda: error)
    with pytest.raises(type(error), match=str(error)):
        predict(nmsw, volume, model, top_k=1)
    assert gpu.passes == 1


def test_a_model_without_a_standby_is_never_replaced(volume, model):
    SmallGpu(model, ["local"], lambda number, _: True)
    del model.standby
    with pytest.raises(torch.OutOfMemoryError):
        predict(nmsw, volume, model, top_k=1)


def test_dropped_tokens_are_counted_once_whatever_was_tried_twice(volume, model):
    model.local_network = BrightTokens(num_labels=3)
    expected, _ = predict(nmsw, volume, model, top_k=3)
    heard = Heard()
    SmallGpu(model.local_network, ["with_depths"], lambda number, _: number > 1)
    model.standby = model.local_network.standby
    standby = networks.build("nmsw", OPTIONS, 1, 3).eval()
    standby.local_network = BrightTokens(num_labels=3)
    model.standby = Standby("cuda", lambda: standby)
    found, _ = predict(nmsw, volume, model, heard, top_k=3)
    box = whole(tuple(volume.shape[1:])).shifted(found.origin)
    assert (found.depths.painted(box) == expected.depths.painted(box)).all() and len(heard.moves) == 1


@pytest.mark.parametrize("position", ["volume", "found"])
@pytest.mark.parametrize("room, tried", [(5, [8, 4]), (3, [8, 4, 2]), (1, [8, 4, 2, 1])])
def test_a_batch_of_slices_is_halved_until_it_fits(room, tried, position):
    volume, model = torch.randn(1, 16, 12, 11, generator=torch.Generator().manual_seed(3)), tiny()
    _, expected = predict(slices, volume, model, position=position)
    heard, sizes = Heard(), []

    def fails(number, size):
        sizes.append(size)
        return size > room

    SmallGpu(model, ["with_presence"], fails)
    found = predict(slices, volume, model, heard, batch=8, position=position)[1]
    torch.testing.assert_close(found, expected)  # batches of another size add up in another order
    assert sizes[: len(tried)] == tried and max(sizes[len(tried) :]) == tried[-1]
    assert not heard.moves and f"At most {tried[-1]} at a time" in heard.warnings[-1]


def test_slices_without_any_room_are_read_on_the_cpu_one_by_one():
    volume, model = torch.randn(1, 16, 12, 11, generator=torch.Generator().manual_seed(3)), tiny()
    _, expected = predict(slices, volume, model)
    gpu, heard = SmallGpu(model, ["with_presence"], lambda number, _: number > 1), Heard()
    assert torch.equal(predict(slices, volume, model, heard)[1], expected)
    assert len(heard.moves) == 1 and heard.moves[0][3] == 1 and heard.read == list(range(1, 12))
    assert gpu.passes == 3


def test_nothing_of_the_failed_pass_is_held_while_the_next_one_runs(model):
    class Large:
        pass

    held = []

    def work(asked):
        if asked is model:
            block = Large()
            held.append(weakref.ref(block))
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [block() for block in held]

    other = networks.build("nmsw", OPTIONS, 1, 3)
    model.standby = Standby("cuda", lambda: other)
    assert Fallback(model).ask(work) == [None, None]
