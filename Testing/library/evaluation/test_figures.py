"""The picture of a run shows what is in the run: read back from its pixels and texts."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.text import Text
from tiny_bundle import write_tiny_bundle, write_tiny_ct

from EfficientSegLib.errors import VolumeError
from EfficientSegLib.evaluation import figures
from EfficientSegLib.geometry import PatchBox, ScoredBox


@pytest.fixture
def run(tmp_path):
    volume = write_tiny_ct(tmp_path / "ct.nrrd")
    labels = np.zeros(volume.shape, np.uint8)
    labels[8:30, 8:30, 8:36] = 1
    boxes = [
        ScoredBox(PatchBox((0, 0, 0), (20, 36, 44)), 0.9, 1),
        ScoredBox(PatchBox((4, 4, 4), (36, 20, 20)), 0.5, 2),
    ]
    return volume, labels, write_tiny_bundle(tmp_path / "bundle"), boxes


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws, and gives the pixels and all texts of the picture."""
    texts = []
    savefig = Figure.savefig

    def listening(figure, *given, **more):
        texts.extend(text.get_text() for text in figure.findobj(Text))
        return savefig(figure, *given, **more)

    monkeypatch.setattr(Figure, "savefig", listening)

    def draw(volume, labels, bundle, **more):
        texts.clear()
        figures.overview(volume, labels, bundle, tmp_path / "Bild ü.png", **more)
        return imread(tmp_path / "Bild ü.png"), " | ".join(texts)

    return draw


def near(pixels, color, tolerance=0.03):
    """Number of pixels of a colour."""
    return int((np.abs(pixels[..., :3] - np.array(color) / 255).max(axis=-1) < tolerance).sum())


def test_it_names_what_was_done_and_that_it_is_research_only(run, drawn):
    volume, labels, bundle, boxes = run
    weights = {"Ball": 0.25, "Cube": 0.75}
    _, texts = drawn(
        volume, labels, bundle, patches=boxes, candidates=80, class_weights=weights, device="cpu", seconds=6.24
    )
    for words in (
        *("Random weights, for tests", "RESEARCH ONLY", "device cpu", "6.2 s", "2 of 80 patches", "Ball", "108 ml"),
        *("axial", "coronal", "sagittal", "R", "L", "A", "P", "S", "I", "Not found: Cube"),
        *("priority (rank 1 = first read)", "overview only", "trusts the overview", "trusts the patches", "0.25"),
    ):
        assert words in texts, words


def test_masks_have_the_bundles_colour_and_none_is_drawn_without_labels(run, drawn):
    volume, labels, bundle, _ = run
    color = bundle.labels[0].color
    with_mask, _ = drawn(volume, labels, bundle)
    without, _ = drawn(volume, np.zeros_like(labels), bundle)
    assert near(with_mask, color) > 500 > 50 > near(without, color)


def test_what_rests_on_the_overview_is_paler_than_what_patches_saw(run, drawn):
    volume, labels, bundle, boxes = run
    color = np.array(bundle.labels[0].color)
    image = np.full_like(volume.array, -1000)  # black, so that only the masks have colour
    black = type(volume)(image, volume.spacing_mm, volume.origin_mm, volume.direction)
    pixels, texts = drawn(black, labels, bundle, patches=boxes, patches_read=1, candidates=80)
    strong, pale = (near(pixels, color * alpha) for alpha in (0.5, 0.2))
    assert strong > 10_000 and pale > 10_000
    assert "% refined" in texts
    pixels, texts = drawn(black, labels, bundle, candidates=80, patches_read=0)
    assert near(pixels, color * 0.5) < 100 and "No patch was read" in texts
    pixels, texts = drawn(black, labels, bundle)
    assert near(pixels, color * 0.2) < 100 and "refined" not in texts


def test_patches_are_outlined_in_the_colour_of_their_rank(run, drawn):
    from EfficientSegLib.evaluation.drawing import rank_color

    volume, labels, bundle, boxes = run
    with_boxes, _ = drawn(volume, labels, bundle, patches=boxes, candidates=80)
    without, _ = drawn(volume, labels, bundle)
    for patch in boxes:
        color = np.array(rank_color(patch.rank, 2)[:3]) * 255
        assert near(with_boxes, color) > near(without, color) + 200


@pytest.mark.parametrize("shape", [(3, 40, 40), (200, 20, 8), (16, 16, 300)])
def test_flat_and_long_volumes_are_drawn_too(run, drawn, tmp_path, shape):
    labels = np.zeros(shape, np.uint8)
    labels[1:2, 3:9, 2:6] = 1
    pixels, _ = drawn(write_tiny_ct(tmp_path / "odd.nrrd", shape), labels, run[2])
    assert pixels.shape[1] == figures.WIDTH * figures.DOTS_PER_INCH and pixels.shape[0] < 2000


def test_an_unwritable_place_is_told_in_words(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VolumeError, match="could not be written"):
        figures.overview(*run[:3], tmp_path / "file" / "out.png")
