"""Manifests: what is written is read, and every way to be wrong is named before any weight is opened."""

import json

import pytest

from EfficientSegLib.bundle import MANIFEST, Component, Label, checksum, find, load, save, verify_weights
from EfficientSegLib.errors import BundleError, OptionError

CONTENT = {
    "schema": 1,
    "name": "abdomen",
    "version": "1.0.0",
    "title": "Abdomen, for tests",
    "modality": "CT",
    "channels": ["CT"],
    "labels": [
        {"value": 1, "name": "liver", "color": [221, 130, 101], "code": "SCT:10200004"},
        {"value": 5, "name": "left kidney", "color": [185, 102, 83], "code": "SCT:64033007", "modifier": "SCT:7771000"},
        {"value": 6, "name": "rest of the body", "color": [0, 0, 0], "auxiliary": True},
    ],
    "preprocess": {
        "orientation": "RAS",
        "spacing_mm": [1.5, 1.5, 3],
        "intensity": {"kind": "window", "low": -200, "high": 300, "to": [-1, 1]},
    },
    "network": {"name": "nmsw", "options": {"patch_size": [32, 32, 32]}},
    "strategy": {"name": "nmsw", "options": {"top_k": 5}},
    "weights": {"file": "weights.pt", "sha256": "0" * 64},
    "licence": {"weights": "Apache-2.0", "data": "CC-BY 4.0", "use": "research only"},
}


def write_bundle(folder, stored=b"numbers", **changes):
    """A bundle folder; `changes` replace entries of the manifest, None removes them; dots go deeper."""
    content = json.loads(json.dumps(CONTENT))
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = content
        for parent in parents:
            place = place[int(parent) if isinstance(place, list) else parent]
        last = int(last) if isinstance(place, list) else last
        if value is None:
            del place[last]
        else:
            place[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps(content), encoding="utf-8")
    if stored is not None:
        (folder / "weights.pt").write_bytes(stored)
    return folder


def test_a_manifest_is_read_into_typed_fields(awkward_folder):
    bundle = load(write_bundle(awkward_folder / "abdomen"))
    assert bundle.preprocess.spacing_mm == (1.5, 1.5, 3.0)
    assert bundle.labels[1] == Label(5, "left kidney", (185, 102, 83), "SCT:64033007", "SCT:7771000")
    assert bundle.network.options == {"patch_size": [32, 32, 32]}
    assert bundle.weights_path == awkward_folder / "abdomen" / "weights.pt"


def test_channels_are_background_and_labels_and_auxiliary_ones_are_not_shown(tmp_path):
    bundle = load(write_bundle(tmp_path / "b"))
    assert bundle.num_labels == 4
    assert bundle.channel_values == (0, 1, 5, 0)
    assert [label.name for label in bundle.shown_labels] == ["liver", "left kidney"]


def test_independent_labels_have_a_channel_each_and_none_is_background(tmp_path):
    exclusive = load(write_bundle(tmp_path / "one"))
    independent = load(write_bundle(tmp_path / "two", outputs="independent"))
    assert (exclusive.num_outputs, independent.num_outputs) == (4, 3)
    assert independent.num_labels == 4 and independent.channel_values == (0, 1, 5, 0)


def test_what_a_bundle_does_not_use_is_not_written_and_older_versions_can_read_it(tmp_path):
    content = load(write_bundle(tmp_path / "one")).to_json()
    assert "outputs" not in content
    assert set(content["preprocess"]) == {"orientation", "spacing_mm", "intensity", "crop"}
    assert set(content["preprocess"]["intensity"]) == {"kind", "low", "high", "to"}


def test_what_a_slice_bundle_uses_is_written(tmp_path):
    given = {"outputs": "independent", "preprocess__native_slices": True}
    bundle = load(write_bundle(tmp_path / "one", **given, preprocess__intensity__standardise=[0.5, 0.5, 255]))
    write_bundle(tmp_path / "two")
    save(bundle, tmp_path / "two")
    again = load(tmp_path / "two")
    assert again.outputs == "independent" and again.preprocess == bundle.preprocess
    assert again.preprocess.native_slices and again.preprocess.intensity.standardise == (0.5, 0.5, 255.0)


def test_saved_and_loaded_is_the_same_bundle(tmp_path):
    bundle = load(write_bundle(tmp_path / "one", labels__0__name="Läsion"))
    write_bundle(tmp_path / "two")
    save(bundle, tmp_path / "two")
    again = load(tmp_path / "two")
    assert again.to_json() == bundle.to_json()
    assert again.labels[0].name == "Läsion"
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [MANIFEST, "weights.pt"]


@pytest.mark.parametrize("key", [name for name in CONTENT if name != "schema"])
def test_a_missing_key_is_named(tmp_path, key):
    with pytest.raises(BundleError, match=f"{key}.* is missing.*See bundle.json"):
        load(write_bundle(tmp_path / "b", **{key: None}))


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"schema": 2}, "schema 2.*reads schema 1.*Update"),
        ({"schema": "1"}, "schema '1'"),
        ({"schema": None}, "schema None"),
        ({"licence__use": None}, "'use' is missing"),
        ({"weights__sha256": None}, "'sha256' is missing"),
        ({"labels__0__value": None}, "value"),
        ({"colour": "red"}, "Unknown option 'colour'"),
        ({"modality": "PET"}, "'modality' is 'PET'.*'CT', 'MR'"),
        ({"channels": ["T1", "T2"]}, "2 channels"),
        ({"channels": []}, "0 channels"),
        ({"labels": []}, "no label to show"),
        ({"labels__0__auxiliary": True, "labels__1__auxiliary": True}, "no label to show"),
        ({"labels__1__value": 1}, "two labels have value 1"),
        ({"labels__1__name": "liver"}, "two labels have name 'liver'"),
        ({"labels__0__value": 0}, "value 0.*background"),
        ({"labels__0__value": 70000}, "70000"),
        ({"labels__0__color": [300, 0, 0]}, "300"),
        ({"labels__0__color": [1, 2]}, "color"),
        ({"preprocess__orientation": "RAR"}, "'RAR'"),
        ({"preprocess__orientation": "RA"}, "'RA'"),
        ({"preprocess__spacing_mm": [1, 0, 1]}, "spacing_mm"),
        ({"preprocess__intensity__low": 300}, "low must be below high"),
        ({"preprocess__intensity__kind": "log"}, "'log'"),
        ({"preprocess__intensity": None}, "'intensity' is missing"),
        ({"preprocess__intensity__standardise": [0.5, 0, 255]}, "standardise.*divided by the deviation"),
        ({"preprocess__intensity__standardise": [0.5, 0.5]}, "'standardise' is"),
        ({"preprocess__native_slices": 1}, "native_slices"),
        ({"outputs": "sigmoid"}, "'exclusive', 'independent'"),
        ({"postprocess": {"largest_component": [9]}}, "label 9.*No label has this value"),
        ({"licence__use": ""}, "no licence"),
        ({"licence__weights": ""}, "no licence"),
        ({"weights__file": "other.pt"}, "other.pt is missing.*Get the bundle again"),
        ({"weights__file": "../b/weights.pt"}, "must lie in the bundle's folder"),
    ],
)
def test_a_wrong_manifest_is_refused_in_words(tmp_path, changes, said):
    with pytest.raises(BundleError, match=said) as caught:
        load(write_bundle(tmp_path / "b", **changes))
    assert caught.value.why
    assert caught.value.mend


def test_missing_weights_are_told(tmp_path):
    with pytest.raises(BundleError, match="weights.pt is missing"):
        load(write_bundle(tmp_path / "b", stored=None))


@pytest.mark.parametrize("content", ["", "{", "[]", "7", "\ufeff{}", "\x00\x01"])
def test_a_manifest_that_is_no_json_object_is_refused(tmp_path, content):
    write_bundle(tmp_path / "b")
    (tmp_path / "b" / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(BundleError):
        load(tmp_path / "b")


def test_a_manifest_of_other_bytes_is_refused(tmp_path):
    write_bundle(tmp_path / "b")
    (tmp_path / "b" / MANIFEST).write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(BundleError, match="not JSON"):
        load(tmp_path / "b")


@pytest.mark.parametrize("name", ["absent", "empty"])
def test_a_folder_without_manifest_is_no_bundle(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="is not a bundle.*Choose a bundle's folder"):
        load(tmp_path / name)


def test_weights_that_differ_from_the_manifest_are_refused(tmp_path):
    folder = write_bundle(tmp_path / "b", stored=b"numbers")
    with pytest.raises(BundleError, match="checksum.*names 000000000000.*Get the bundle again"):
        verify_weights(load(folder))
    write_bundle(folder, stored=b"numbers", weights__sha256=checksum(folder / "weights.pt"))
    verify_weights(load(folder))


def test_the_checksum_is_that_of_the_standard(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert checksum(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_bundles_are_found_by_name_in_all_folders(tmp_path):
    write_bundle(tmp_path / "ours" / "b")
    write_bundle(tmp_path / "theirs" / "a")
    (tmp_path / "ours" / "no bundle").mkdir()
    found = find([tmp_path / "ours", tmp_path / "theirs", tmp_path / "absent"])
    assert [path.name for path in found] == ["a", "b"]


def test_a_run_replaces_options_one_by_one_and_another_strategy_has_none_of_the_bundles(tmp_path):
    bundle = load(write_bundle(tmp_path / "b", strategy__options={"top_k": 5, "overlap": 0.5}))
    assert bundle.run_strategy() == bundle.strategy
    assert bundle.run_strategy("", {"top_k": 6}) == Component("nmsw", {"top_k": 6, "overlap": 0.5})
    assert bundle.run_strategy("nmsw") == bundle.strategy
    assert bundle.run_strategy("sliding_window", {"overlap": 0.1}) == Component("sliding_window", {"overlap": 0.1})


def test_an_interrupted_save_leaves_the_earlier_manifest(tmp_path, monkeypatch):
    bundle = load(write_bundle(tmp_path / "b"))
    before = (tmp_path / "b" / MANIFEST).read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError):
        save(bundle, tmp_path / "b")
    assert (tmp_path / "b" / MANIFEST).read_bytes() == before


def test_a_label_refuses_values_that_no_label_map_holds():
    with pytest.raises(OptionError):
        Label(0, "background", (0, 0, 0))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused_as_json_does(tmp_path, number):
    write_bundle(tmp_path, preprocess__spacing_mm=[1.5, 1.5, 3])
    path = tmp_path / MANIFEST
    path.write_text(path.read_text(encoding="utf-8").replace("1.5", number, 1), encoding="utf-8")
    with pytest.raises(BundleError, match=f"not JSON.*{number} is no number"):
        load(tmp_path)
