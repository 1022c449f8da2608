"""The bundles that ship: each names the training beside it, and the self test does its work on what it never saw."""

from pathlib import Path

import pytest

import phantoms
from EfficientSegLib import bundle as bundles
from EfficientSegLib.segment import load_model, segment
from EfficientSegLib.training.config import read_config
from EfficientSegLib.volume import Volume

BUNDLES = Path(__file__).resolve().parents[3] / "Resources" / "Bundles"
SHIPPED = [("demo-ct", "teaching.json"), ("demo-ct-slices", "further.json"), ("self-test", "training.json")]


@pytest.mark.parametrize("name, last", SHIPPED)
def test_a_shipped_bundle_comes_from_the_training_beside_it(name, last):
    bundle, config = bundles.load(BUNDLES / name), read_config(BUNDLES / name / last)
    bundles.verify_weights(bundle)
    assert bundle.provenance["configuration_sha256"] == config.fingerprint
    assert bundle.network == config.template.network
    assert bundle.labels == config.template.labels


def test_the_demo_was_taught_on_what_its_first_training_leaves():
    first, taught = (read_config(BUNDLES / "demo-ct" / name) for name in ("training.json", "teaching.json"))
    assert bundles.load(BUNDLES / "demo-ct").provenance["first_training"]["configuration_sha256"] == first.fingerprint
    assert taught.start.trained == ("score_head",)
    assert taught.cases == first.cases and taught.template.network == first.template.network


def test_the_demo_of_slices_goes_on_from_its_first_training_and_is_small():
    folder = BUNDLES / "demo-ct-slices"
    first, further = (read_config(folder / name) for name in ("training.json", "further.json"))
    assert bundles.load(folder).provenance["first_training"]["configuration_sha256"] == first.fingerprint
    assert further.template.network == first.template.network and further.template.labels == first.template.labels
    assert further.template.labels == bundles.load(BUNDLES / "demo-ct").labels
    assert sum(path.stat().st_size for path in folder.iterdir()) < 8_000_000


def test_the_self_test_is_small():
    assert sum((BUNDLES / "self-test" / name).stat().st_size for name in ("bundle.json", "weights.pt")) < 100_000


def test_the_self_test_finds_the_organs_of_an_unseen_phantom():
    bundle = bundles.load(BUNDLES / "self-test")
    hu, labels = phantoms.torso(seed=101)
    volume = Volume(hu[None], phantoms.SPACING_MM, direction=((-1.0, 0, 0), (0, -1.0, 0), (0, 0, 1.0)))
    found = segment(volume, bundle, load_model(bundle, "cpu")).labels
    for value in (phantoms.LIVER, phantoms.SPLEEN, phantoms.VERTEBRAE):
        ours, theirs = found == value, labels == value
        assert 2 * (ours & theirs).sum() / (ours.sum() + theirs.sum()) > 0.9
