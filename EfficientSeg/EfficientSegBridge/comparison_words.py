"""What is said of a comparison: the ways there are, their titles, and the rows of its table."""

from collections.abc import Sequence

from EfficientSegBridge import efforts, words
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.translation import _
from EfficientSegLib.agreement import Agreement
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.protocol import Finished
from EfficientSegLib.store.home import megabytes

# Strategies besides its own that a network of overview and patches can be read with; other networks have one way only.
# (The library's own list lies beside torch, which is never imported in the application's process.)
OF_NMSW = ("nmsw", "sliding_window", "zoom_out", "random_foreground")


def strategies(bundle: Bundle) -> tuple[str, ...]:
    """How a model can read a volume, its own way first."""
    own = bundle.strategy.name
    return tuple(dict.fromkeys((own, *(OF_NMSW if bundle.network.name == "nmsw" else ()))))


def effortName(patches: int | None) -> str:
    """One place of the effort slider."""
    if patches == 0:
        return _("overview only")
    return _("every patch") if patches is None else _("{count} patches").format(count=patches)


def title(way: Parameters) -> str:
    """A way in a few words."""
    effort = [effortName(way.patches)] if way.hasOrder else []
    return ", ".join([way.bundle.title, way.strategyName, *effort])


def identity(way: Parameters) -> tuple:
    """Equal for two ways that read the same in the same manner."""
    return way.bundle.folder, way.strategyName, way.patches if way.hasOrder else "", way.device


def outcome(last: Finished) -> str:
    """The line once both are there."""
    if last.complete:
        return _("A and B are side by side; both segmentations are new ones.")
    return _("B was stopped early and is compared as far as it came.")


def rows(sides: Sequence, agreements: Sequence[Agreement]) -> list[tuple[str, str, str, str]]:
    """The table: structure, A, B, Dice; costs first.

    Args:
        sides: the two of a finished Comparison.
    """
    table = [
        (_("Time"), *(words.duration(side.finished.seconds) for side in sides), ""),
        (_("Memory"), *(megabytes(int(side.finished.peak_memory_mb * 1e6)) for side in sides), ""),
        (_("Patches read"), *(read(side.finished, side.candidates) for side in sides), ""),
        (_("Device"), *(side.device for side in sides), ""),
    ]
    return table + [
        (found.name, millilitres(found.one_ml), millilitres(found.other_ml), dice(found.dice)) for found in agreements
    ]


def read(finished: Finished, candidates: int) -> str:
    """How much was read at full detail."""
    if finished.unit == "slices":
        return _("{read} of {total} slices").format(read=finished.patches_read, total=finished.patches_total)
    return _("{read} of {total}").format(read=finished.patches_read, total=candidates or finished.patches_total)


def millilitres(value: float | None) -> str:
    if value is None:
        return _("not in it")
    return _("{value:.1f} ml").format(value=value) if value else _("not found")


def dice(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def effortChoices() -> list[str]:
    return [effortName(patches) for patches in efforts.EFFORTS]
