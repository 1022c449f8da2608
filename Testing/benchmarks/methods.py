"""Methods side by side, in one run on this machine: seconds by stage, MACs, peak memory, agreement with MONAI.

    python Testing/benchmarks/methods.py --output FOLDER --sizes 192 256 320 --labels 20

Each method runs in a process of its own (`one_method.py`) with the same random weights of the paper's NMSW (U-Nets of
26.5 M parameters, patches of 128 voxels, overlap 0.5) on the same drawn volume, at the bundle's spacing, file to file.
MONAI's inferer runs with the plain network as its author would run it, and once more with our form of the network; all
others through the library's own pipeline, in the environment that the worker is started with. Rows are interleaved over
`--repeat` rounds and the median is shown. With `--timed-patches n` at most n patches are really computed per run and
the network's seconds scaled up (shown with ≈; labels are then not compared): what would take an hour takes minutes.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402

from EfficientSegLib import bundle as bundles  # noqa: E402
from EfficientSegLib import networks  # noqa: E402
from EfficientSegLib.bundle import Bundle, Component, Intensity, Label, Licence, Preprocess, Weights  # noqa: E402
from EfficientSegLib.environment import cores, worker_environment  # noqa: E402
from EfficientSegLib.evaluation.cost import count, count_nmsw  # noqa: E402
from EfficientSegLib.geometry import Index, patch_grid  # noqa: E402
from EfficientSegLib.volume import Volume, write  # noqa: E402

SPACING_MM = (1.5, 1.5, 1.5)
STAGES = ("read", "prepare", "selection", "network", "stitching", "write")


@dataclass(frozen=True)
class Method:
    """One row of the table."""

    name: str
    strategy: str
    options: dict

    @property
    def chooses(self) -> bool:
        """Whether a coarse pass over the whole volume comes first."""
        return self.strategy not in ("monai", "monai-fast", "sliding_window")


NMSW = {"clip_top_k": True, "skip_background": False}
METHODS = [
    Method("MONAI sliding window, plain network", "monai", {}),
    Method("MONAI sliding window, our network form", "monai-fast", {}),
    Method("sliding window", "sliding_window", {}),
    Method("NMSW, coarse only", "nmsw", {**NMSW, "top_k": 0}),
    Method("NMSW, K = 5", "nmsw", {**NMSW, "top_k": 5}),
    Method("NMSW, K = 30", "nmsw", {**NMSW, "top_k": 30}),
    Method("NMSW, all", "nmsw", {**NMSW, "top_k": None, "class_weights": "one"}),
    Method("random foreground, K = 30", "random_foreground", {**NMSW, "top_k": 30}),
    Method("zoom-out", "zoom_out", {}),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=Path, help="folder of methods.csv, methods.md and methods.png")
    parser.add_argument("--sizes", nargs="+", type=_shape, default=[(192,) * 3, (256,) * 3], help="192 or 512x512x400")
    parser.add_argument("--labels", type=int, default=20, help="background included")
    parser.add_argument("--backbone", default="unet", help="local network")
    parser.add_argument("--methods", nargs="+", default=[""], help="only those whose name contains one of these")
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--timed-patches", type=int, default=0, help="0: all are computed")
    given = parser.parse_args()
    methods = [method for method in METHODS if any(part in method.name for part in given.methods)]
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="efficientseg-") as folder:
        bundle = write_bundle(Path(folder) / "bundle", given.labels, given.backbone)
        for shape in given.sizes:
            source = Path(folder) / "volume.mha"
            write(drawn_volume(shape), source)
            rows = list(_measure(methods, bundle, shape, source, Path(folder), given))
            _append(rows, given.output / "methods.csv")
            (given.output / "methods.md").write_text(table(given.output / "methods.csv"), encoding="utf-8")
            draw(given.output / "methods.csv", given.output / "methods.png")
            print(table(given.output / "methods.csv"), flush=True)


def write_bundle(folder: Path, num_labels: int, backbone: str) -> Bundle:
    """The paper's NMSW with random weights; useless on patients."""
    options = {"local_backbone": backbone}
    torch.manual_seed(0)
    model = networks.build("nmsw", options, 1, num_labels)
    folder.mkdir()
    torch.save(model.state_dict(), folder / "weights.pt")
    labels = tuple(Label(value, f"Label {value}", (value % 256, 90, 90)) for value in range(1, num_labels))
    bundle = Bundle(
        schema=bundles.SCHEMA,
        name="random",
        version="1",
        title="Random weights, for measuring time",
        modality="CT",
        channels=("CT",),
        labels=labels,
        preprocess=Preprocess("RAS", SPACING_MM, Intensity("window", -250, 500)),
        network=Component("nmsw", options),
        strategy=Component("nmsw", NMSW),
        weights=Weights("weights.pt", bundles.checksum(folder / "weights.pt")),
        licence=Licence("CC0-1.0", "none", "benchmarks"),
        folder=str(folder),
    )
    bundles.save(bundle, folder)
    return bundle


def drawn_volume(shape: Index) -> Volume:
    """Soft tissue in air with smooth blobs and noise; int16, right-anterior-superior."""
    draws = np.random.default_rng(0)
    knots = torch.from_numpy(draws.normal(0, 1, (1, 1, 12, 12, 12)).astype(np.float32))
    blobs = torch.nn.functional.interpolate(knots, size=shape, mode="trilinear", align_corners=False)[0, 0].numpy()
    axes = [np.linspace(-1, 1, length, dtype=np.float32) ** 2 for length in shape]
    inside = axes[0][:, None, None] + axes[1][:, None] < 0.85
    values = np.where(np.broadcast_to(inside, shape), 40 + 150 * blobs, -1000)
    for k in range(shape[2]):
        values[..., k] += draws.normal(0, 20, shape[:2])
    return Volume(values.astype(np.int16)[None], SPACING_MM, direction=((-1.0, 0, 0), (0, -1.0, 0), (0, 0, 1.0)))


def _measure(methods: list[Method], bundle: Bundle, shape: Index, source: Path, folder: Path, given) -> Iterator[dict]:
    runs: dict[str, list[dict]] = {method.name: [] for method in methods}
    dense: np.ndarray | None = None
    agreement: dict[str, float] = {}
    for _ in range(given.repeat):
        for method in methods:
            every = _every(method, shape, given.timed_patches)
            labels = folder / "labels.npy"
            runs[method.name].append(_run(method, bundle, source, folder, labels, every, given.threads))
            if labels.exists() and not given.timed_patches:
                found = np.load(labels)
                if method.strategy == "monai":
                    dense = found
                elif dense is not None:
                    agreement[method.name] = float((found == dense).mean())
            labels.unlink(missing_ok=True)
    for method in methods:
        yield _row(method, runs[method.name], shape, agreement.get(method.name), given)


def _every(method: Method, shape: Index, timed: int) -> int:
    candidates = len(patch_grid(shape, (128, 128, 128), 0.5))
    wanted = method.options.get("top_k", None)
    reads = candidates if wanted is None else min(wanted, candidates)
    return max(-(-reads // timed), 1) if timed else 1


def _run(method: Method, bundle: Bundle, source: Path, folder: Path, labels: Path, every: int, threads: int) -> dict:
    result = folder / "result.json"
    command = [sys.executable, str(Path(__file__).with_name("one_method.py")), "--bundle", bundle.folder]
    command += ["--input", str(source), "--result", str(result), "--labels", str(labels), "--every", str(every)]
    command += ["--strategy", method.strategy, "--options", json.dumps(method.options), "--threads", str(threads)]
    environment = os.environ if method.strategy == "monai" else worker_environment(os.environ)
    done = subprocess.run(command, env={**environment, "OMP_NUM_THREADS": str(threads)}, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode} (out of memory?)"])[-1]
        print(f"{method.name}: {last}", file=sys.stderr, flush=True)
        return {"failed": last}
    return json.loads(result.read_text(encoding="utf-8"))


def _row(method: Method, runs: list[dict], shape: Index, agreement: float | None, given) -> dict:
    row = {
        "volume": "×".join(map(str, shape)),
        "labels": given.labels,
        "backbone": given.backbone,
        "method": method.name,
        "threads": given.threads,
    }
    good = [run for run in runs if "failed" not in run]
    if not good:
        return {**row, "failed": runs[0]["failed"]}
    for stage in (*STAGES, "total"):
        values = [run["total"] if stage == "total" else run["seconds"].get(stage, 0.0) for run in good]
        row[f"{stage}_s"] = round(statistics.median(values), 2)
    row["patches"], row["candidates"] = good[0]["patches"], good[0]["candidates"]
    row["timed_patches"] = good[0]["timed_patches"]
    row["gmacs"] = round(_gmacs(method, good[0]["patches"], shape, given), 1)
    row["peak_mb"] = round(statistics.median(run["peak_mb"] for run in good))
    row["above_model_and_volume_mb"] = round(statistics.median(run["peak_mb"] - run["baseline_mb"] for run in good))
    row["same_labels_as_monai"] = "" if agreement is None else f"{agreement:.6f}"
    return row


def _gmacs(method: Method, patches: int, shape: Index, given) -> float:
    with torch.device("meta"):
        model = networks.build("nmsw", {"local_backbone": given.backbone}, 1, given.labels)
    if method.chooses:
        return count_nmsw(model, shape, patches).macs / 1e9
    return count(model.local_network, model.patch_size).macs * patches / 1e9


HEADINGS = (
    *("method", "s", "× MONAI", "network", "selection", "stitching", "prepare, I/O"),
    *("GMACs", "peak MB", "labels as MONAI"),
)
COLUMNS = [
    *("volume", "labels", "backbone", "method", "threads"),
    *(f"{stage}_s" for stage in (*STAGES, "total")),
    *("patches", "candidates", "timed_patches", "gmacs", "peak_mb", "above_model_and_volume_mb"),
    *("same_labels_as_monai", "failed"),
]


def _append(rows: list[dict], path: Path) -> None:
    is_new = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        if is_new:
            writer.writeheader()
        writer.writerows(rows)


def table(path: Path) -> str:
    """The measurements as Markdown, one table per volume, with each method's speed against MONAI's."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    text = []
    for key in dict.fromkeys((row["volume"], row["labels"], row["backbone"]) for row in rows):
        own = [row for row in rows if (row["volume"], row["labels"], row["backbone"]) == key]
        reference = next((row for row in own if "plain" in row["method"] and not row["failed"]), None)
        text.append(f"### {key[0]} voxels, {key[1]} labels, {key[2]}, {own[0]['threads']} threads\n")
        text.append(
            "| method | s | × MONAI | network | selection | stitching | prepare, I/O | GMACs | peak MB | labels |"
        )
        text.append("|---|---|---|---|---|---|---|---|---|---|")
        text += [_line(row, reference) for row in own]
        text.append("")
    return "\n".join(text)


def _line(row: dict, reference: dict | None) -> str:
    if row["failed"]:
        return f"| {row['method']} | {row['failed'][:60]} | | | | | | | | |"
    about = "≈" if int(row["timed_patches"]) < int(row["patches"]) else ""
    faster = f"{float(reference['total_s']) / float(row['total_s']):.1f}" if reference else ""
    around = sum(float(row[f"{stage}_s"]) for stage in ("read", "prepare", "write"))
    same = f"{100 * float(row['same_labels_as_monai']):.4f} %" if row["same_labels_as_monai"] else ""
    cells = (
        f"{row['method']} ({row['patches']} of {row['candidates']})",
        f"{about}{float(row['total_s']):.1f}",
        faster,
        f"{about}{row['network_s']}",
        row["selection_s"],
        row["stitching_s"],
        f"{around:.1f}",
        row["gmacs"],
        row["peak_mb"],
        same,
    )
    return "| " + " | ".join(cells) + " |"


def draw(path: Path, picture: Path) -> None:
    """How seconds and memory grow with the volume, one line per method and number of labels, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["failed"] and row["labels"] == "20"]
    figure = Figure(figsize=(12, 4.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2)
    for number, name in enumerate(dict.fromkeys(row["method"] for row in rows)):
        own = sorted((row for row in rows if row["method"] == name), key=_voxels)
        for axes, column in zip(panels, ("total_s", "peak_mb")):
            style = {"color": f"C{number}", "marker": "o", "markersize": 4, "label": name}
            axes.plot([_voxels(row) / 1e6 for row in own], [float(row[column]) for row in own], **style)
    for axes, title in zip(panels, ("seconds, file to file", "peak memory, MB")):
        axes.set(xscale="log", yscale="log", xlabel="million voxels", title=title)
        axes.grid(alpha=0.3, which="both")
    panels[0].legend(fontsize=7)
    figure.savefig(picture, format="png")


def _voxels(row: dict) -> int:
    return int(np.prod([int(part) for part in row["volume"].split("×")], dtype=np.int64))


def _shape(text: str) -> Index:
    sizes = tuple(int(part) for part in text.split("x"))
    return sizes * 3 if len(sizes) == 1 else sizes


if __name__ == "__main__":
    main()
