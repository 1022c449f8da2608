"""A drawn torso CT data set with known truth: `python Testing/benchmarks/torso_phantom.py --output FOLDER --cases 12`.

Nineteen labels from liver and lungs to adrenals, bile duct and ureters of two to four voxels; a field of view of
384 mm, so --size 256 gives 1.5 mm. Written in the raw form of nnU-Net v2. The drawing itself is
`torso.draw.draw(seed, size)`.
"""

import argparse
import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.torso.dataset import write_dataset


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--test-cases", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=256, help="voxels per axis of 384 mm")
    parser.add_argument("--noise", type=float, default=18.0, help="standard deviation in HU in the middle of the body")
    parser.add_argument("--pictures", type=Path, help="folder for a PNG of every case (needs matplotlib)")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    drawn = None
    if given.pictures:
        from benchmarks.torso.picture import picture

        given.pictures.mkdir(parents=True, exist_ok=True)

        def drawn(name, drawing):
            picture(drawing, given.pictures / f"{name}.png")

    write_dataset(given.output, given.cases, given.test_cases, given.seed, given.size, given.noise, drawn)


if __name__ == "__main__":
    main()
