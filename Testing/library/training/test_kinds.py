"""What fits together: independent outputs over volumes take the recipe patch, and nothing that needs a background."""

import copy

import pytest

from EfficientSegLib.errors import OptionError
from EfficientSegLib.options import read_options
from EfficientSegLib.training.config import TrainConfig, check
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.processes import Place

ALONE = Place(0, 1)
OVERVIEW = "background does not win.*independent outputs have none.*Use recipe 'patch'.*strategy 'sliding_window'"


def begun(content, folder):
    config = read_options(TrainConfig, content)
    check(config)
    return Run(config, folder, ALONE)


def test_the_recipe_patch_trains_a_channel_for_each_label_and_none_for_background(regions_json, regions_folder):
    run = begun(regions_json, regions_folder)
    assert run.model.num_labels == 3
    assert run.step()["patch"] > 0


@pytest.mark.parametrize("recipe", ["nmsw", "zoom_out"])
def test_recipes_with_an_overview_refuse_independent_outputs_before_any_case_is_read(recipe, tiny_json, tmp_path):
    tiny_json["bundle"]["outputs"] = "independent"
    with pytest.raises(OptionError, match=f"the recipe is '{recipe}'.*{OVERVIEW}"):
        begun({**tiny_json, "recipe": {"name": recipe}}, tmp_path / "nowhere")


def test_so_does_a_network_with_an_overview_and_a_recipe_that_does_not_fit_the_network(
    tiny_json, regions_json, tmp_path
):
    tiny_json["bundle"]["outputs"] = "independent"
    content = {**tiny_json, "recipe": {"name": "patch", "options": {"patch_size": [16, 16, 16]}}}
    with pytest.raises(OptionError, match=f"network 'nmsw'.*{OVERVIEW}"):
        begun(content, tmp_path / "nowhere")
    with pytest.raises(OptionError, match=f"network 'stp_unetr'.*{OVERVIEW}"):
        begun({**regions_json, "recipe": {"name": "nmsw"}}, tmp_path / "nowhere")


def test_the_strategy_must_read_patches_alone(regions_json, tmp_path):
    content = copy.deepcopy(regions_json)
    content["bundle"]["strategy"] = {"name": "nmsw", "options": {}}
    with pytest.raises(OptionError, match="bundle.strategy: .*nmsw"):
        begun(content, tmp_path / "nowhere")
