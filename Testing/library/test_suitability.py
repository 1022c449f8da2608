"""Which images are refused, in which words, and what is only remarked."""

import re
import time

import numpy as np
import pytest

from EfficientSegLib.bundle import Intensity, Preprocess
from EfficientSegLib.errors import VolumeError
from EfficientSegLib.suitability import check_geometry, check_grid, check_intensities, skew, warnings

RULE = Preprocess("RAS", (1.5, 1.5, 3.0), Intensity("window", -200.0, 300.0))
STRAIGHT = np.eye(3)


def body(shape=(40, 40, 30), seed=0):
    """Air around tissue with fat, organs and some bone, in HU."""
    rng = np.random.default_rng(seed)
    values = rng.normal(-1000, 10, shape)
    inner = tuple(slice(length // 5, length - length // 5) for length in shape)
    values[inner] = rng.choice([-100, 40, 60, 120, 500], values[inner].shape) + rng.normal(0, 10, values[inner].shape)
    return values.astype(np.int16)


@pytest.mark.parametrize("spacing", [(0, 1, 1), (-1, 1, 1), (1, np.nan, 1), (1, 1, np.inf), (1, 1, 0.001), (1, 1, 60)])
def test_an_unbelievable_voxel_size_is_refused(spacing):
    with pytest.raises(VolumeError, match=r"voxel size is .* mm.*Correct the image spacing"):
        check_geometry(spacing, STRAIGHT)


@pytest.mark.parametrize(
    "direction",
    [
        [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]],
        np.diag([1, 1, 2.0]),
        np.zeros((3, 3)),
        np.full((3, 3), np.nan),
        [[1, 1, 0], [0, 0, 0], [0, 0, 1]],
    ],
)
def test_axes_that_are_sheared_scaled_or_missing_are_refused(direction):
    with pytest.raises(VolumeError, match="not at right angles.*straight grid"):
        check_geometry((1, 1, 1), np.array(direction))


@pytest.mark.parametrize("direction", [np.eye(3), -np.eye(3), np.eye(3)[[2, 0, 1]], np.diag([1, 1, -1])])
def test_every_rotation_and_reflection_is_allowed(direction):
    check_geometry((0.5, 0.5, 5), direction)
    assert skew(direction) == 0


def test_skew_is_the_cosine_between_two_axes():
    leaning = np.array([[1, np.cos(np.radians(89)), 0], [0, np.sin(np.radians(89)), 0], [0, 0, 1]])
    assert skew(leaning) == pytest.approx(np.cos(np.radians(89)))


@pytest.mark.parametrize("shape, said", [((512, 512, 1), "only 1 slice\\."), ((512, 2, 512), "only 2 slices\\.")])
def test_too_few_slices_are_refused(shape, said):
    with pytest.raises(VolumeError, match=said):
        check_grid(shape, (1, 1, 1), STRAIGHT)


@pytest.mark.parametrize("shape", [(0, 4, 4), (4, 4), ()])
def test_a_grid_without_voxels_is_refused(shape):
    with pytest.raises(VolumeError, match="nothing in it"):
        check_grid(shape, (1, 1, 1), STRAIGHT)


def test_three_slices_and_five_thousand_are_a_grid():
    check_grid((512, 512, 3), (1, 1, 5), STRAIGHT)
    check_grid((512, 512, 5000), (1, 1, 0.5), STRAIGHT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_one_bad_voxel_among_many_is_found(value, modality):
    array = body((101, 97, 89)).astype(np.float32)
    array[53, 11, 7] = value
    with pytest.raises(VolumeError, match="1 of 871933 voxels are not numbers"):
        check_intensities(array, modality)


def test_values_too_large_to_be_summed_are_no_infinity():
    array = np.full((4, 4, 4), 3e38, np.float32)
    array[0] = -1000
    check_intensities(array, "MR")


@pytest.mark.parametrize("kind", [np.int16, np.float32, np.uint8])
def test_a_constant_image_is_refused(kind):
    with pytest.raises(VolumeError, match="Every voxel is 7"):
        check_intensities(np.full((5, 5, 5), 7, kind), "MR")


def test_an_empty_image_is_refused():
    with pytest.raises(VolumeError, match="no voxels"):
        check_intensities(np.zeros((1, 0, 5, 5)), "CT")


def test_a_ct_is_welcome_whatever_the_order_in_memory():
    for array in (body(), body()[None], np.asfortranarray(body()), body().astype(np.float32)):
        check_intensities(array, "CT")


def test_a_cropped_ct_of_soft_tissue_is_welcome_with_a_remark():
    rng = np.random.default_rng(1)
    crop = (rng.choice([-100, 40, 60], (30, 30, 30)) + rng.normal(0, 15, (30, 30, 30))).astype(np.int16)
    check_intensities(crop, "CT")
    assert any("there is no air" in text for text in warnings(crop, (1, 1, 1), "CT"))


def test_mr_in_a_ct_bundle_is_refused():
    array = np.random.default_rng(0).gamma(2.0, 80.0, (30, 30, 30)).astype(np.int16)
    with pytest.raises(VolumeError, match="none is below 0.*Hounsfield.*Choose a CT"):
        check_intensities(array, "CT")


def test_normalised_values_in_a_ct_bundle_are_refused():
    array = np.random.default_rng(0).normal(0, 1, (30, 30, 30))
    with pytest.raises(VolumeError, match="only.*several hundred.*do not normalise"):
        check_intensities(array, "CT")


def test_an_mr_with_a_few_negative_voxels_of_resampling_is_refused():
    array = np.random.default_rng(0).gamma(2.0, 80.0, (60, 60, 60))
    array[0, 0, :20] = -35
    with pytest.raises(VolumeError, match="hardly any"):
        check_intensities(array, "CT")


def test_a_ct_without_its_rescale_is_told_how_to_be_mended():
    with pytest.raises(VolumeError, match="subtracting 1024"):
        check_intensities(np.maximum(body().astype(int) + 1024, 0), "CT")


def test_what_dicom_says_decides():
    with pytest.raises(VolumeError, match="The image is MR.*trained on CT"):
        check_intensities(body(), "CT", said="MR")
    check_intensities(body(), "CT", said="OT")


def test_ct_in_an_mr_bundle_is_a_remark_only():
    check_intensities(body(), "MR")
    assert "looks like CT" in warnings(body(), (1, 1, 1), "MR")[0]
    assert "looks like CT" in warnings(body(), (1, 1, 1), "MR", said="CT")[0]
    assert warnings(body() + 1000, (1, 1, 1), "MR", said="MR") == []


def test_an_ordinary_ct_is_passed_without_a_remark():
    assert warnings(body((300, 200, 100)), (1.0, 1.0, 2.0), "CT", RULE, (64, 64, 32)) == []


@pytest.mark.parametrize(
    "shape, spacing, said",
    [
        ((300, 200, 30), (1, 1, 10.0), "10 mm apart.*1.5 x 1.5 x 3 mm"),
        ((300, 200, 15), (1, 1, 2.0), "covers only 300 x 200 x 30 mm"),
        ((300, 200, 1000), (1, 1, 3.0), "3.0 m long"),
    ],
)
def test_odd_grids_are_remarked(shape, spacing, said):
    array = np.broadcast_to(body((300, 200, 1)), shape)
    found = warnings(array, spacing, "CT", RULE, (64, 64, 32))
    assert any(re.search(said, text) for text in found), found


def test_thick_slices_are_remarked_without_a_bundle():
    assert "8 mm apart" in warnings(body(), (1, 1, 8.0), "CT")[0]


def test_clipped_values_are_remarked():
    found = warnings(np.clip(body((100, 100, 60)), -700, 200), (3, 3, 3), "CT")
    assert found == [
        "Values below -700 seem to be cut off.",
        "Values above 200 seem to be cut off: bone and contrast may look alike.",
    ]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_large_scan_is_judged_within_a_second(order):
    """Measured: 0.07 s for 512 x 512 x 400 int16 on one core; here an eighth of it, with room for a busy machine."""
    array = np.asarray(np.broadcast_to(body((256, 256, 1)), (256, 256, 200)), order=order)
    started = time.process_time()
    check_intensities(array, "CT")
    warnings(array, (1, 1, 1), "CT", RULE, (64, 64, 32))
    assert time.process_time() - started < 1
