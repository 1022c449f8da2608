"""What stands below the slices: the structures with their volumes, and the learned class weights."""

from collections.abc import Mapping, Sequence

from EfficientSegLib.bundle import Label
from EfficientSegLib.evaluation.drawing import FAINT, INK, Scene, rank_color

ROW_INCHES = 0.245
HEAD_INCHES, FOOT_INCHES, FOOT_WITH_BOXES_INCHES = 0.5, 0.3, 0.86


def draw_structures(axes, scene: Scene, millilitres: Mapping[str, float]) -> None:
    """Structures with their volume and how much of each rests on patches; below, what the boxes and masks mean."""
    from matplotlib.patches import Rectangle

    wide, high = _inches(axes)
    axes.text(0.2, high - 0.28, "Structures", color=INK, fontsize=12.5, fontweight="bold", va="center")
    found = [label for label in scene.shown if millilitres[label.name]]
    absent = [label.name for label in scene.shown if not millilitres[label.name]]
    foot = FOOT_WITH_BOXES_INCHES if scene.is_partly_coarse else FOOT_INCHES
    fitting = max(int((high - HEAD_INCHES - foot) / ROW_INCHES), 1)
    columns = max(-(-len(found) // fitting), 2)
    step = (wide - 0.2) / columns
    small = max(9.8 * min(step / 3.6, 1), 5)
    for position, label in enumerate(found):
        column, row = divmod(position, -(-len(found) // columns))
        x, y = 0.2 + column * step, high - HEAD_INCHES - ROW_INCHES * (row + 0.6)
        put = {"va": "center", "fontsize": small}
        axes.add_patch(Rectangle((x, y - 0.07), 0.16, 0.14, facecolor=_color(label)))
        axes.text(x + 0.26, y, label.name, color=INK, **put)
        right = x + step - 0.3
        if scene.is_partly_coarse:
            share = scene.refined[scene.labels == label.value].mean()
            said = "overview only" if share < 0.005 else f"{share:.0%} refined"
            axes.text(right, y, said, color=FAINT, ha="right", **put)
            right -= 1.15 * small / 9.8
        axes.text(right, y, _amount(millilitres[label.name]), color=INK, ha="right", **put)
    if absent:
        line = f"Not found: {', '.join(absent)}"
        axes.text(0.2, foot - 0.12, _shortened(line, wide), color=FAINT, fontsize=9.5, va="center")
    if scene.is_partly_coarse:
        _explain_boxes(axes, scene)


def _explain_boxes(axes, scene: Scene) -> None:
    from matplotlib.patches import Rectangle

    count, left, width = len(scene.boxes), 0.2, 2.7
    small = {"color": FAINT, "fontsize": 9, "va": "center"}
    if not count:
        axes.text(left, 0.3, "No patch was read: all masks rest on the overview only (coarse).", **small)
        return
    for rank in range(1, count + 1):
        place = (left + width * (rank - 1) / count, 0.34)
        axes.add_patch(Rectangle(place, width / count * 1.02, 0.13, linewidth=0, facecolor=rank_color(rank, count)))
    axes.text(left, 0.2, "1", **small)
    axes.text(left + width, 0.2, str(count), ha="right", **small)
    axes.text(left + width / 2, 0.2, "priority (rank 1 = first read)", ha="center", **small)
    axes.text(left + width + 0.35, 0.41, "Boxes: patches read in full detail. Numbers: the first to be read.", **small)
    axes.text(left + width + 0.35, 0.2, "Paler masks, outside the boxes: overview only (coarse).", **small)


def draw_weights(axes, class_weights: Mapping[str, float], shown: Sequence[Label]) -> None:
    """How far each label trusts the patches, as bars."""
    wide, high = _inches(axes)
    axes.text(0.25, high - 0.28, "Class weights", color=INK, fontsize=12.5, fontweight="bold", va="center")
    note = {"color": FAINT, "fontsize": 9.5, "va": "center"}
    axes.text(wide - 0.25, high - 0.28, "learned, the same for every scan", ha="right", **note)
    named = [label for label in shown if label.name in class_weights]
    left, right, bottom = 0.29 * wide, wide - 0.7, 0.42
    row = (high - HEAD_INCHES - bottom) / max(len(named), 1)
    size = min(9.8, row * 52)
    for position, label in enumerate(named):
        middle = high - HEAD_INCHES - row * (position + 0.5)
        value = class_weights[label.name]
        axes.barh(middle, right - left, row * 0.62, left, color="#222a32")
        axes.barh(middle, (right - left) * value, row * 0.62, left, color=_color(label))
        axes.text(left - 0.1, middle, label.name, color=INK, fontsize=size, ha="right", va="center")
        axes.text(right + 0.1, middle, f"{value:.2f}", color=FAINT, fontsize=size, va="center")
    axes.plot([(left + right) / 2] * 2, [bottom, high - HEAD_INCHES], color=FAINT, linewidth=0.8, linestyle=":")
    for x, words, side in ((left, "trusts the overview", "left"), (right, "trusts the patches", "right")):
        axes.text(x, bottom - 0.16, words, ha=side, **note)


def _inches(axes) -> tuple[float, float]:
    """Width and height of the axes, which measure in inches from here on."""
    figure_wide, figure_high = axes.figure.get_size_inches()
    place = axes.get_position()
    wide, high = place.width * figure_wide, place.height * figure_high
    axes.set(xlim=(0, wide), ylim=(0, high), autoscale_on=False)
    return wide, high


def _color(label: Label) -> list[float]:
    return [part / 255 for part in label.color]


def _amount(millilitres: float) -> str:
    return f"{millilitres:,.0f} ml" if millilitres >= 10 else f"{millilitres:.1f} ml"


def _shortened(text: str, inches: float) -> str:
    room = int(inches * 13)
    return text if len(text) <= room else text[: room - 2].rsplit(",", 1)[0] + ", …"
