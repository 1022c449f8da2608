"""Slice by slice against a plain loop, whatever the batches; what is held, and what a stop leaves."""

import pytest
import torch
from slice_model import TinySlices, tiny
from torch.nn import functional

from EfficientSegLib import networks, strategies
from EfficientSegLib.errors import OptionError
from EfficientSegLib.geometry import PatchBox, whole
from EfficientSegLib.networks import PatchModel, SliceModel
from EfficientSegLib.strategies import Watcher, slices, sliding_window


def noise(shape=(19, 26, 11), seed=1):
    return torch.randn(1, *shape, generator=torch.Generator().manual_seed(seed))


def one_by_one(volume, model, pad=0.0, position=None, gate=None):
    """Logits (L, I, J, K) with a background of 0, spelled out slice by slice."""
    depth, (height, width) = volume.shape[3], volume.shape[1:3]
    planes = []
    for t in range(depth):
        reach = model.slices // 2
        neighbours = [volume[0, :, :, min(max(s, 0), depth - 1)] for s in range(t - reach, t + reach + 1)]
        padded = functional.pad(torch.stack(neighbours)[None], (0, -width % 4, 0, -height % 8), value=pad)
        place = t / (depth - 1) if position is None else position(t)
        logits, presence = model.with_presence(padded, torch.tensor([place], dtype=torch.float32))
        logits = logits[0, :, :height, :width]
        if gate is not None:
            logits[presence[0].sigmoid() < gate] = slices.ABSENT
        planes.append(torch.cat((torch.zeros(1, height, width), logits)))
    return torch.stack(planes, dim=3)


def predict(volume, model, watcher=None, **options):
    return slices.predict(volume, model, slices.Options(**options), watcher)


def everything(prediction, thickness=1):
    """All logits, asked for as `restore_labels` does."""
    shape = prediction.logits.shape
    boxes = [
        PatchBox((0, 0, start), (*shape[:2], min(start + thickness, shape[2])))
        for start in range(0, shape[2], thickness)
    ]
    return torch.cat([prediction.logits.region(box) for box in boxes], dim=3)


@pytest.fixture(autouse=True)
def no_gradients():
    with torch.inference_mode():
        yield


@pytest.mark.parametrize("batch", [None, 1, 2, 3, 4, 11, 64])
@pytest.mark.parametrize("shape", [(19, 26, 11), (16, 12, 3), (7, 9, 4)])
def test_batches_of_any_size_give_what_a_plain_loop_gives(shape, batch):
    volume, model = noise(shape), tiny()
    expected = one_by_one(volume, model, pad=-1.0)
    assert (expected[1:] > 0).any() and (expected[1:] < 0).any()
    torch.testing.assert_close(everything(predict(volume, model, batch=batch, pad_value=-1.0)), expected)


@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("thickness", [1, 2, 7, 11])
def test_stacks_and_slabs_of_any_thickness(count, thickness):
    volume, model = noise(), tiny(slices=count)
    found = everything(predict(volume, model, batch=3), thickness)
    torch.testing.assert_close(found, one_by_one(volume, model))


def test_neighbours_are_repeated_at_the_volumes_ends_only():
    volume = torch.arange(5.0).expand(1, 2, 2, 5)
    assert slices.stack(volume, 0, 2, 3)[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2]]
    assert slices.stack(volume, 2, 5, 3)[:, :, 0, 0].tolist() == [[1, 2, 3], [2, 3, 4], [3, 4, 4]]
    assert slices.stack(volume, 0, 1, 5)[:, :, 0, 0].tolist() == [[0, 0, 0, 1, 2]]


def test_part_of_a_slice_is_that_part():
    volume, model = noise(), tiny()
    expected = one_by_one(volume, model)
    field = predict(volume, model).logits
    for box in (PatchBox((0, 0, 0), (5, 26, 1)), PatchBox((5, 3, 0), (19, 9, 2)), PatchBox((2, 0, 1), (3, 26, 2))):
        torch.testing.assert_close(field.region(box), expected[(slice(None), *box.slices())])


def test_slices_are_read_when_they_are_needed_and_forgotten_behind():
    prediction = predict(noise(), tiny(), batch=2)
    field = prediction.logits
    assert (field.patches_read, prediction.planned, prediction.candidates, prediction.patches) == (0, 11, 11, ())
    held = []
    for start in range(11):
        field.region(PatchBox((0, 0, start), (19, 26, start + 1)))
        assert field.patches_read == min(start // 2 * 2 + 2, 11)
        held.append(len(field._logits))
    assert max(held) == 2


def test_it_counts_every_slice_and_never_goes_back():
    seen = []

    class Counting(Watcher):
        def refined(self, logits, box, read, total):
            seen.append((read, total, logits, box))

    everything(predict(noise(), tiny(), Counting(), batch=4))
    assert seen == [(4, 11, None, None), (8, 11, None, None), (11, 11, None, None)]


class StopAt(Watcher):
    """Stops before the slice after so many have been read, in either pass."""

    def __init__(self, read=None, searched=None):
        self.most = {"read": read, "searched": searched}
        self.now = {"read": 0, "searched": 0}

    def refined(self, logits, box, read, total):
        self.now["read"] = read

    def searched(self, done, total):
        self.now["searched"] = done

    def should_stop(self):
        return any(most is not None and self.now[kind] >= most for kind, most in self.most.items())


def test_a_stop_keeps_what_is_done_and_leaves_the_rest_background():
    volume, model = noise(), tiny()
    prediction = predict(volume, model, StopAt(read=4), batch=2)
    found, expected = everything(prediction), one_by_one(volume, model)
    torch.testing.assert_close(found[..., :4], expected[..., :4])
    assert not found[..., 4:].any() and prediction.logits.patches_read == 4
    assert prediction.logits.winner(PatchBox((0, 0, 4), (19, 26, 5))) == 0
    assert prediction.logits.winner(PatchBox((0, 0, 3), (19, 26, 5))) is None


class Rod(TinySlices):
    """Finds label 1 where a slice is bright; label 2 is how far along it takes itself to be."""

    size_multiple = (1, 1)

    def __init__(self):
        super().__init__(labels=2, slices=1, presence=False)

    def with_presence(self, stack, position=None):
        return torch.cat((stack - 0.5, position[:, None, None, None].expand_as(stack) - 2), dim=1), None


def rod():
    """Ten slices, of which 2 to 6 are bright."""
    volume = torch.zeros(1, 4, 5, 10)
    volume[..., 2:7] = 1
    return volume


def test_two_passes_take_the_position_from_the_structures_that_the_first_has_found():
    found = everything(predict(rod(), Rod(), position="found", batch=3))
    expected = [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    torch.testing.assert_close(found[2, 0, 0] + 2, torch.tensor(expected))
    once = everything(predict(rod(), Rod()))
    torch.testing.assert_close(once[2, 0, 0] + 2, torch.arange(10) / 9)


def test_two_passes_equal_a_loop_with_the_positions_found():
    volume, model = noise(), tiny(seed=4)
    first = one_by_one(volume, model)
    with_label = [t for t in range(11) if (first[1:, :, :, t] > 0).any()]
    start, span = with_label[0], with_label[-1] - with_label[0]
    expected = one_by_one(volume, model, position=lambda t: min(max((t - start) / max(span, 1), 0), 1))
    torch.testing.assert_close(everything(predict(volume, model, position="found", batch=2)), expected)


def test_without_any_structure_both_positions_are_the_same():
    empty = torch.zeros(1, 4, 5, 10)
    torch.testing.assert_close(everything(predict(empty, Rod(), position="found")), everything(predict(empty, Rod())))


def test_a_stop_in_the_first_pass_reads_nothing():
    watcher = StopAt(searched=4)
    prediction = predict(rod(), Rod(), watcher, position="found", batch=2)
    assert not everything(prediction).any()
    assert watcher.now == {"read": 0, "searched": 4} and prediction.logits.patches_read == 0


def test_the_gate_removes_labels_that_the_presence_head_denies():
    volume, model = noise(), tiny(seed=3)
    presence = torch.cat([model.with_presence(slices.stack(volume, t, t + 1, 3)[:, :, :16, :24])[1] for t in range(11)])
    gate = float(presence.sigmoid().median())
    expected = one_by_one(volume, model, gate=gate)
    assert (expected == slices.ABSENT).any() and (expected > 0).any()
    torch.testing.assert_close(everything(predict(volume, model, presence=gate, batch=4)), expected)


def test_a_gate_needs_a_presence_head():
    with pytest.raises(OptionError, match=r"presence is 0.5.*no head.*null"):
        everything(predict(noise(), tiny(presence=False), presence=0.5))


def test_networks_of_volumes_and_of_slices_are_told_apart():
    unet = networks.build("unet", {"channels": [4, 8, 8], "strides": [2, 2, 1]}, 1, 3)
    assert isinstance(tiny(), SliceModel) and not isinstance(tiny(), PatchModel)
    with pytest.raises(OptionError, match="'slices' cannot use this network"):
        predict(noise(), unet)
    with pytest.raises(OptionError, match="'sliding_window' cannot use this network"):
        sliding_window.predict(noise(), tiny(), sliding_window.Options(patch_size=(8, 8, 8)))


@pytest.mark.parametrize("options, said", [({"batch": 0}, "batch is 0"), ({"presence": 1.5}, "presence is 1.5")])
def test_wrong_options_are_refused(options, said):
    with pytest.raises(OptionError, match=said):
        slices.Options(**options)


def test_it_begins_anew_always_and_reads_slices():
    assert not strategies.can_continue("slices")
    assert (strategies.unit("slices"), strategies.unit("nmsw")) == ("slices", "patches")


def test_the_shape_is_the_volumes_and_the_channels_begin_with_background():
    field = predict(noise(), tiny(labels=3)).logits
    assert field.shape == (19, 26, 11) and field.num_labels == 4
    assert not field.region(whole((19, 26, 1)))[0].any()
