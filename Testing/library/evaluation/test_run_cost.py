"""Cost of finished runs: passes of the bundle's network, times how often it was passed."""

from types import SimpleNamespace

import pytest
from transformer_bundle import STP, options_in_nmsw

from EfficientSegLib import networks, strategies
from EfficientSegLib.evaluation.cost import count, count_nmsw
from EfficientSegLib.evaluation.run_cost import RunCost
from EfficientSegLib.evaluation.slice_cost import count_slice_volume
from EfficientSegLib.strategies import slices, sliding_window

LIGHT = {"encoder": "light", "width": 0.25}
UNET = {"channels": [4, 8, 8], "strides": [2, 2, 1]}


def runs(name, options, num_outputs=3):
    return RunCost(SimpleNamespace(network=SimpleNamespace(name=name, options=options), num_outputs=num_outputs))


@pytest.mark.parametrize("position, passes", [("volume", 1), ("found", 2)])
def test_a_run_over_slices_costs_its_slices_once_or_twice(position, passes):
    done = SimpleNamespace(prepared_shape=(70, 64, 7), patches_read=7)
    cost = runs("segmate", LIGHT).of("slices", slices.Options(position=position), done)
    assert cost == count_slice_volume(networks.build("segmate", LIGHT, 1, 3), (70, 64, 7 * passes))


def test_a_run_over_slices_that_was_stopped_costs_what_it_read():
    whole, half = (SimpleNamespace(prepared_shape=(64, 64, 8), patches_read=read) for read in (8, 4))
    counter = runs("segmate", LIGHT)
    assert counter.of("slices", slices.Options(), whole).macs == 2 * counter.of("slices", slices.Options(), half).macs


def test_a_sliding_window_costs_its_patches():
    one, five = (SimpleNamespace(prepared_shape=(32, 32, 32), patches_read=read) for read in (1, 5))
    counter, options = runs("unet", UNET), sliding_window.Options(patch_size=(16, 16, 16))
    once, often = counter.of("sliding_window", options, one), counter.of("sliding_window", options, five)
    assert often.macs == 5 * once.macs > 0 and often.parameters == once.parameters


def test_a_strategy_that_is_not_known_is_not_guessed():
    assert runs("unet", UNET).of("else", object(), SimpleNamespace(prepared_shape=(8, 8, 8), patches_read=1)) is None


@pytest.mark.parametrize("strategy, in_nmsw", [("sliding_window", False), ("sliding_window", True), ("nmsw", True)])
def test_a_run_that_drops_more_tokens_costs_less_and_the_network_stays_as_it_was(strategy, in_nmsw):
    given = ("nmsw", options_in_nmsw("stp_unetr", STP)) if in_nmsw else ("stp_unetr", STP)
    counter, read = runs(*given), strategies.module(strategy).Options
    done = SimpleNamespace(prepared_shape=(48, 40, 32), patches_read=3)
    own, low, high = (counter.of(strategy, read(prune_ratio=ratio), done).macs for ratio in (None, 0.25, 0.75))
    assert low > own > high > 0
    assert counter.of(strategy, read(prune_ratio=0.5), done).macs == own
    assert counter.of(strategy, read(), done).macs == own


def test_nmsw_with_a_network_of_one_size_costs_its_overview_and_its_patches():
    model = networks.build("nmsw", options_in_nmsw("stp_unetr", STP), 1, 3)
    shape = (48, 40, 32)
    overview = count(model.global_network, (24, 20, 16))
    patch = count(model.local_network, (32, 32, 32))
    assert count_nmsw(model, shape, 2).macs == overview.macs + 2 * patch.macs
    assert count_nmsw(model, shape, None).macs == overview.macs + 4 * patch.macs
