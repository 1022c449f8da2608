"""Teach the score head of a trained NMSW bundle alone where its coarse pass is wrong; both networks stay as they are.

    python Testing/benchmarks/evidence/teach_scores.py --config TRAINING.json --bundle FOLDER --data DATA \
        --output FOLDER --minutes 3

With the same networks, what the choice of patches is worth can be seen by itself: learned as NMSW learns it, at random,
and taught by the errors on the training cases (`taught_recipe`).
"""

import argparse
import dataclasses
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "benchmarks")]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib.geometry import patch_grid  # noqa: E402
from EfficientSegLib.networks.compact import unpack  # noqa: E402
from EfficientSegLib.resampling import shrink_labels  # noqa: E402
from EfficientSegLib.segment import load_model  # noqa: E402
from EfficientSegLib.training.config import read_config  # noqa: E402
from EfficientSegLib.training.samples import source  # noqa: E402
from evidence.taught_recipe import errors_in  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("config", "bundle", "data", "output"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    config, bundle = read_config(given.config), bundles.load(given.bundle)
    model = load_model(bundle, "cpu")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("score_head"))
    opened = source(config.samples.name).open_source(
        config, config.cases, given.data, model.patch_size, model.size_multiple
    )
    optimiser = torch.optim.Adam(model.score_head.parameters(), given.learning_rate)
    generator, started, step = np.random.default_rng(given.seed), time.monotonic(), 0
    while (share := (time.monotonic() - started) / (60 * given.minutes)) < 1:
        sample = opened.draw(generator)
        shape, truth = tuple(sample.target.shape), shrink_labels(sample.target, model.downsampling)
        proposal = model.propose(model.shrink(sample.image[None]), shape)
        wrong = proposal.logits[0].argmax(0) != truth
        errors = errors_in(wrong, patch_grid(shape, model.patch_size, model.overlap), model.downsampling)
        loss = -(errors / errors.sum().clamp(min=1) * torch.log_softmax(proposal.scores, 0)).sum()
        optimiser.param_groups[0]["lr"] = given.learning_rate * (1 - share)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        if step % 20 == 1:
            print(step, round(float(loss.detach()), 3), flush=True)
    given.output.mkdir(parents=True, exist_ok=True)
    weights = given.output / "weights.pt"
    # Both networks are stored as they were: in the form for inference, some of their parameters have other names.
    state = unpack(torch.load(bundle.weights_path, map_location="cpu", weights_only=True))
    taught = {f"score_head.{name}": value for name, value in model.score_head.state_dict().items()}
    torch.save({name: value.half().contiguous() for name, value in {**state, **taught}.items()}, weights)
    stored = bundles.Weights("weights.pt", bundles.checksum(weights))
    bundles.save(dataclasses.replace(bundle, weights=stored), given.output)


if __name__ == "__main__":
    main()
