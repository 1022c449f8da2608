"""How the distribution that patches are drawn from changes during a training: its history on one unchanged case.

Source: NMSW (arXiv 2501.10814), section 3.2 and figure 6: p = softmax of the scores, background masked.
"""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from EfficientSegLib.errors import TrainingError
from EfficientSegLib.files import replacing
from EfficientSegLib.geometry import patch_grid
from EfficientSegLib.networks import GlobalLocalModel
from EfficientSegLib.networks.topk import mask_background, top_k
from EfficientSegLib.training.losses import IGNORE
from EfficientSegLib.training.optimisation import Run
from EfficientSegLib.training.samples import Sample, source
from EfficientSegLib.training.sampling_picture import draw

log = logging.getLogger(__name__)
HISTORY = "sampling.npz"
PICTURE = "sampling.png"
USUAL_K = 5  # patches that count as chosen, where the bundle's strategy does not say


@dataclass(frozen=True)
class History:
    """What the model thought of each candidate patch of one case, time after time. Arrays of axes L, P, S (views.py).

    N candidate patches, T times.
    """

    case: str
    shape: np.ndarray  # (3,), voxels
    spacing_mm: np.ndarray  # (3,)
    patch: np.ndarray  # (3,), voxels
    starts: np.ndarray  # (N, 3), first voxel of each candidate
    labelled: np.ndarray  # (N,), bool: whether the reference has a label that counts in the patch
    k: int  # the first k patches count as chosen
    images: tuple[np.ndarray, ...]  # the case's mean along axis L, P and S
    outlines: tuple[np.ndarray, ...]  # bool, where any voxel along that axis has a label that counts
    steps: np.ndarray  # (T,), iterations done
    scores: np.ndarray  # (T, N), float32, background masked: the logarithm of p up to a constant

    @property
    def priority(self) -> np.ndarray:
        """Probability of each patch to be drawn first, without temperature, (T, N)."""
        return torch.from_numpy(self.scores).double().softmax(1).numpy()

    @property
    def chosen(self) -> np.ndarray:
        """Whether each patch is among the first k, (T, N), bool."""
        chosen = np.zeros(self.scores.shape, dtype=bool)
        for row, scores in zip(chosen, torch.from_numpy(self.scores)):
            row[top_k(scores, min(self.k, len(scores))).numpy()] = True
        return chosen

    @property
    def entropy(self) -> np.ndarray:
        """Of the distribution, as a share of the highest, log N, (T,); 0 where there is a single candidate."""
        p = self.priority
        nats = -(p * np.log(np.maximum(p, 1e-300))).sum(1)
        return nats / np.log(p.shape[1]) if p.shape[1] > 1 else np.zeros(len(p))

    @property
    def hits(self) -> np.ndarray:
        """Share of the chosen patches that hold a label that counts, (T,)."""
        chosen = self.chosen
        return (chosen & self.labelled).sum(1) / chosen.sum(1)

    def projections(self, time: int) -> tuple[np.ndarray, ...]:
        """Priority summed over all patches that hold a voxel, and along axis L, P and S: three images."""
        maps = [np.zeros([n for axis, n in enumerate(self.shape) if axis != normal]) for normal in range(3)]
        for start, share in zip(self.starts, self.priority[time]):
            for normal, image in enumerate(maps):
                box = [slice(a, a + p) for axis, (a, p) in enumerate(zip(start, self.patch)) if axis != normal]
                image[tuple(box)] += share
        return tuple(maps)

    def with_row(self, step: int, scores: np.ndarray) -> "History":
        """One time more; times at or after `step` are forgotten, as a training that goes on makes them again."""
        kept = self.steps < step
        return dataclasses.replace(
            self,
            steps=np.append(self.steps[kept], step),
            scores=np.concatenate([self.scores[kept], scores[None]]).astype(np.float32),
        )


def save(history: History, path: Path) -> None:
    """Replace the file in one step.

    Raises:
        VolumeError: the disk is full, or the folder may not be written.
    """
    content = {f.name: getattr(history, f.name) for f in dataclasses.fields(History)}
    for name in ("images", "outlines"):
        content |= {f"{name}_{axis}": array for axis, array in enumerate(content.pop(name))}
    with replacing(path, ".npz") as part:
        np.savez_compressed(part, **content)


def load(path: Path) -> History:
    """Read what `save` wrote.

    Raises:
        OSError, ValueError, KeyError: it is missing or damaged.
    """
    with np.load(path, allow_pickle=False) as file:
        content = {name: file[name] for name in file.files}
    for name in ("images", "outlines"):
        content[name] = tuple(content.pop(f"{name}_{axis}") for axis in range(3))
    return History(**{**content, "case": str(content["case"]), "k": int(content["k"])})


class Sampling:
    """Asks the model of a run, keeps its answers beside the checkpoint, and draws them."""

    def __init__(self, run: Run, sample: Sample, output: Path, keep: bool) -> None:
        """`keep`: go on with a history of the same case and candidates, if there is one in `output`."""
        self._run, self._sample, self._output = run, sample, output
        self.history = new_history(run, sample)
        if keep:
            self._go_on()

    @classmethod
    def of(cls, run: Run, data_folder: Path, output: Path, keep: bool) -> "Sampling | None":
        """For the first case of the validation, or else of the training; None where there is nothing to look at.

        That is where the configuration asks for no picture, the model chooses no patches, or in all processes but one.

        Raises:
            TrainingError: matplotlib is missing.
        """
        config = run.config
        if config.picture_every is None or run.place.rank > 0 or not isinstance(run.model, GlobalLocalModel):
            return None
        _check_matplotlib()
        cases = config.validation or config.cases
        opened = source(config.samples.name).open_source(config, cases[:1], data_folder, run.patch, run.multiple)
        return cls(run, opened.still(0), output, keep)

    def record(self) -> None:
        """Add what the model thinks now, and draw all there is.

        Raises:
            VolumeError: the disk is full, or the folder may not be written.
        """
        run, model = self._run, self._run.model
        model.eval()
        image = self._sample.image[None].to(run.place.device)
        with torch.no_grad(), run.precision.autocast():
            low = model.shrink(image).contiguous(memory_format=torch.channels_last_3d)
            proposal = model.propose(low, tuple(self._sample.target.shape))
        model.train()
        scores = mask_background(proposal.scores.float(), proposal.foreground).cpu().numpy()
        self.history = self.history.with_row(run.course.step, scores)
        save(self.history, self._output / HISTORY)
        draw(self.history, self._output / PICTURE)

    def _go_on(self) -> None:
        path, own = self._output / HISTORY, self.history
        try:
            found = load(path)
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError) as error:
            log.warning("%s cannot be read (%s); its history begins anew.", path, error)
            return
        if found.case == own.case and np.array_equal(found.starts, own.starts):
            kept = found.steps <= self._run.course.step
            self.history = dataclasses.replace(own, steps=found.steps[kept], scores=found.scores[kept])


def new_history(run: Run, sample: Sample) -> History:
    """A history without any time yet."""
    model, template = run.model, run.config.template
    orientation = template.preprocess.orientation
    image, target = (_to_body(array.numpy(), orientation) for array in (sample.image[0], sample.target))
    counts = np.isin(target, [IGNORE, *getattr(model, "ignored_channels", (0,))], invert=True)
    order, flips = _axes(orientation)
    shape = sample.target.shape
    boxes = patch_grid(tuple(shape), model.patch_size, model.overlap)
    ranges = [[(shape[a] - b.stop[a] if flip else b.start[a]) for a, flip in zip(order, flips)] for b in boxes]
    patch = [model.patch_size[axis] for axis in order]
    starts = np.array(ranges)
    return History(
        case=sample.name,
        shape=np.array(image.shape),
        spacing_mm=np.array([template.preprocess.spacing_mm[axis] for axis in order]),
        patch=np.array(patch),
        starts=starts,
        labelled=np.array([counts[tuple(slice(a, a + p) for a, p in zip(s, patch))].any() for s in starts]),
        k=template.strategy.options.get("top_k") or USUAL_K,
        images=tuple(image.mean(axis) for axis in range(3)),
        outlines=tuple(counts.any(axis) for axis in range(3)),
        steps=np.empty(0, dtype=np.int64),
        scores=np.empty((0, len(boxes)), dtype=np.float32),
    )


def _axes(orientation: str) -> tuple[list[int], list[bool]]:
    """Which of I, J, K runs along L, P, S, and whether backwards; such as ([0, 1, 2], [True, True, False]) for RAS."""
    order = [next(axis for axis, letter in enumerate(orientation) if letter in pair) for pair in ("LR", "PA", "SI")]
    return order, [orientation[axis] in "RAI" for axis in order]


def _to_body(array: np.ndarray, orientation: str) -> np.ndarray:
    order, flips = _axes(orientation)
    turned = array.transpose(order)
    return np.ascontiguousarray(turned[tuple(slice(None, None, -1 if flip else 1) for flip in flips)])


def _check_matplotlib() -> None:
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise TrainingError(
            "picture_every asks for a picture, and matplotlib is missing.",
            why=f"{error}.",
            mend="Install it: pip install matplotlib. Or leave picture_every out.",
        ) from error
