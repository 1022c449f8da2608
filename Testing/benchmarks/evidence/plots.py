"""Pictures that the library's own (`evaluation.curves`) do not cover: gain by label, class weights by size, seeds."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev

from EfficientSegLib.evaluation.curves import COLORS
from EfficientSegLib.evaluation.drawing import ACCENT, BACKGROUND, FAINT, INK, PANEL
from EfficientSegLib.evaluation.results import Row
from EfficientSegLib.evaluation.tables import summarise
from EfficientSegLib.files import replacing
from evidence.rows import by_seed_and_case, pick

LESS, MORE = "#e76f51", "#56b4e9"


def gain_by_label(rows: Sequence[Row], k: int, path: Path, methods: Mapping[str, str]) -> None:
    """Dice at K minus Dice without patches, label by label, the largest label first; bars are means over cases and
    seeds, lines one standard deviation over seeds.

    Args:
        methods: name -> colour.
    """
    sizes: dict[str, list[float]] = {}
    for row in rows:
        if row.reference_ml:
            sizes.setdefault(row.label, []).append(row.reference_ml)
    labels = sorted(sizes, key=lambda label: -fmean(sizes[label]))
    figure, axes = _figure(8.2, 1.4 + 0.2 * len(labels) * len(methods) + 0.12 * len(labels))
    for number, (method, color) in enumerate(methods.items()):
        found = [_gains(rows, method, k, label) for label in labels]
        thickness = 0.8 / len(methods)
        places = [place + thickness * (number - (len(methods) - 1) / 2) for place in range(len(labels))]
        away = [stdev(gains) if len(gains) > 1 else 0 for gains in found]
        style = {"color": color, "error_kw": {"ecolor": INK, "elinewidth": 0.8}, "label": method}
        axes.barh(places, [fmean(gains) for gains in found], thickness * 0.9, xerr=away, **style)
    axes.axvline(0, color=FAINT, linewidth=0.8)
    axes.set_yticks(range(len(labels)), [_named(label, fmean(sizes[label])) for label in labels], color=INK)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_xlabel(f"Dice with {k} patches, minus Dice of the coarse pass alone", color=FAINT)
    axes.grid(axis="x", color="#2a333b", linewidth=0.6)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, labelcolor=INK, fontsize=9)
    _save(figure, path)


def _named(label: str, ml: float) -> str:
    return f"{label.replace('_', ' ')} ({ml:,.0f} ml)" if ml >= 10 else f"{label.replace('_', ' ')} ({ml:.1f} ml)"


def _gains(rows: Sequence[Row], method: str, k: int, label: str) -> list[float]:
    """One number per seed."""
    before, after = (
        {(row.seed, row.case): row.dice for row in pick(rows, method, count) if row.label == label} for count in (0, k)
    )
    by_seed: dict[str, list[float]] = {}
    for key in before.keys() & after.keys():
        if before[key] is not None and after[key] is not None:
            by_seed.setdefault(key[0], []).append(after[key] - before[key])
    return [fmean(gains) for _, gains in sorted(by_seed.items())] or [0.0]


def dice_by_count(rows: Sequence[Row], path: Path) -> None:
    """Dice against K, few patches wide apart: a line for each way to choose, a level for each way without a choice.

    Bands are one standard deviation over seeds; "all" stands at the mean number of candidates.
    """
    figure, axes = _figure(9.0, 5.4)
    candidates = fmean(row.candidates for row in rows if row.top_k is not None)
    for number, method in enumerate(dict.fromkeys(row.method for row in rows)):
        own = [summary for summary in summarise(rows) if summary.method == method]
        color = COLORS[number % len(COLORS)]
        spreads = [(candidates if s.top_k == "all" else s.top_k, s.dice, s.seeds > 1) for s in own]
        if own[0].top_k is None:
            _, dice, several = spreads[0]
            axes.axhline(dice.mean, color=color, linestyle="--", linewidth=1.5, label=method)
            if several and dice.deviation:
                axes.axhspan(
                    dice.mean - dice.deviation, dice.mean + dice.deviation, color=color, alpha=0.12, linewidth=0
                )
            continue
        spreads.sort(key=lambda spread: spread[0])
        places, means = [place for place, _, _ in spreads], [dice.mean for _, dice, _ in spreads]
        away = [(dice.deviation or 0) if several else 0 for _, dice, several in spreads]
        axes.plot(places, means, marker="o", markersize=4, linewidth=1.8, color=color, label=method)
        low, high = ([mean + sign * d for mean, d in zip(means, away)] for sign in (-1, 1))
        axes.fill_between(places, low, high, color=color, alpha=0.18, linewidth=0)
    axes.set_xscale("symlog", linthresh=10)
    axes.set_xlim(-0.5, candidates * 1.1)
    shown = sorted({row.top_k for row in rows if isinstance(row.top_k, int)})
    axes.set_xticks([*shown, candidates], [*map(str, shown), "all"], minor=False)
    axes.minorticks_off()
    axes.set_xlabel("Patches read at full resolution (K)", color=FAINT)
    axes.set_ylabel("Dice", color=FAINT)
    axes.grid(color="#2a333b", linewidth=0.6)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, labelcolor=INK, fontsize=9)
    _save(figure, path)


def errors_covered(shares: Mapping[str, Mapping[int, Sequence[float]]], path: Path) -> None:
    """Share of the voxels that the coarse pass got wrong and that lie in the first K patches, a line for each order.

    Args:
        shares: order -> K -> one number per seed; the band is one standard deviation.
    """
    figure, axes = _figure(8.2, 5.0)
    colors = {"NMSW": ACCENT, "best possible": FAINT, "NMSW, taught scores": MORE}
    for order, by_count in shares.items():
        counts = sorted(by_count)
        means = [fmean(by_count[k]) for k in counts]
        away = [stdev(by_count[k]) if len(by_count[k]) > 1 else 0 for k in counts]
        color = colors.get(order, LESS)
        axes.plot(counts, means, marker="o", markersize=4, linewidth=1.8, color=color, label=order)
        low, high = ([mean + sign * d for mean, d in zip(means, away)] for sign in (-1, 1))
        axes.fill_between(counts, low, high, color=color, alpha=0.18, linewidth=0)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("Patches read at full resolution (K)", color=FAINT)
    axes.set_ylabel("Share of the coarse pass's wrong voxels inside them", color=FAINT)
    axes.grid(color="#2a333b", linewidth=0.6)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, frameon=False, labelcolor=INK, fontsize=9)
    _save(figure, path)


def weights_by_size(weights: Mapping[str, float], sizes_ml: Mapping[str, float], path: Path) -> None:
    """Learned class weight of each label against its mean volume; a weight of 0.5 is where it began (paper: Fig 5)."""
    figure, axes = _figure(8.2, 5.0)
    labels = sorted(weights, key=sizes_ml.__getitem__)
    axes.scatter([sizes_ml[name] for name in labels], [weights[name] for name in labels], color=ACCENT, s=28, zorder=3)
    for number, name in enumerate(labels):
        up = 1 if number % 2 else -1
        place = {"ha": "center", "va": "bottom" if up > 0 else "top", "textcoords": "offset points"}
        words = name.replace("_", " ")
        axes.annotate(words, (sizes_ml[name], weights[name]), (0, 9 * up), color=INK, fontsize=7.5, **place)
    axes.axhline(0.5, color=FAINT, linewidth=0.8, linestyle="--")
    axes.set_xscale("log")
    axes.margins(0.1)
    axes.set_xlabel("Mean volume of the label (ml)", color=FAINT)
    axes.set_ylabel("Class weight: share of the patch's logit", color=FAINT)
    axes.grid(color="#2a333b", linewidth=0.6)
    _save(figure, path)


def dice_by_line(rows: Sequence[Row], path: Path) -> None:
    """A line for each method and number of patches: a dot for each seed's mean over the cases, a bar at their mean."""
    order = list(dict.fromkeys((row.method, row.top_k) for row in rows if row.dice is not None))
    figure, axes = _figure(8.6, 1.0 + 0.3 * len(order))
    for place, (method, count) in enumerate(order):
        found = by_seed_and_case(pick(rows, method, count))
        means = [fmean(cases.values()) for _, cases in sorted(found.items())]
        axes.plot([fmean(means)] * 2, [place - 0.32, place + 0.32], color=ACCENT, linewidth=2.2)
        axes.scatter(means, [place] * len(means), color=MORE, s=26, zorder=3)
    names = [method if count is None else f"{method}, K = {count}" for method, count in order]
    axes.set_yticks(range(len(order)), names, color=INK)
    axes.set_ylim(len(order) - 0.5, -0.5)
    axes.set_xlabel("Dice (dots: seeds; bar: their mean)", color=FAINT)
    axes.grid(axis="x", color="#2a333b", linewidth=0.6)
    _save(figure, path)


def _figure(width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, facecolor=BACKGROUND, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(facecolor=PANEL)
    axes.tick_params(colors=FAINT, labelcolor=INK, length=0)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)
    return figure, axes


def _save(figure, path: Path) -> None:
    with replacing(path, ".png") as part:
        figure.savefig(part, format="png", facecolor=BACKGROUND)
