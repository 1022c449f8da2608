"""Draw the people of the torso data set, in the form of the other data sets: a folder for each, image and label.

    python Testing/benchmarks/evidence/draw_torso.py --splits Testing/benchmarks/results/splits.json --output DATA/torso
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "benchmarks")]

import numpy as np  # noqa: E402
import SimpleITK  # noqa: E402
from torso.draw import draw  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--size", type=int, default=256, help="voxels along each axis")
    given = parser.parse_args()
    parts = json.loads(given.splits.read_text(encoding="utf-8"))["torso"]
    for name in (*parts["train"], *parts["test"]):
        folder = given.output / name
        if (folder / "label.nii.gz").exists():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        drawing = draw(int(name.rsplit("_", 1)[1]), given.size)
        for file, array in (("image", drawing.image), ("label", drawing.labels)):
            _write(array, drawing.spacing_mm, folder / f"{file}.nii.gz")
        print(name, {label: round(ml, 1) for label, ml in drawing.ml().items()}, flush=True)


def _write(array: np.ndarray, spacing_mm: float, path: Path) -> None:
    """Axes of the array grow to the right, to the front and upwards; SimpleITK's world to the left and to the back."""
    image = SimpleITK.GetImageFromArray(np.ascontiguousarray(array.transpose(2, 1, 0)))
    image.SetSpacing((spacing_mm,) * 3)
    image.SetDirection((-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0))
    part = path.with_name(f"part-{path.name}")
    SimpleITK.WriteImage(image, str(part), useCompression=True)
    part.replace(path)


if __name__ == "__main__":
    main()
