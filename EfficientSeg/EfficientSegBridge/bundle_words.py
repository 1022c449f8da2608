"""What the browser says of a bundle: rich text, and the text that a search looks through."""

import html
from typing import Any

from EfficientSegBridge import efforts, theme, words
from EfficientSegBridge.bundles import Choice
from EfficientSegBridge.parameters import Parameters
from EfficientSegBridge.translation import _
from EfficientSegLib.bundle import Bundle
from EfficientSegLib.protocol import Pace
from EfficientSegLib.store.home import megabytes


def fits(choice: Choice, search: str) -> bool:
    """True if every word of the search occurs in name, title, description, labels, modality or licence."""
    bundle = choice.manifest
    said = [choice.folder.name, choice.title]
    if bundle is not None:
        said += [bundle.name, bundle.version, bundle.description, bundle.modality, bundle.network.name]
        said += [bundle.licence.weights, bundle.licence.data, bundle.licence.use]
        said += [label.name for label in bundle.labels]
    text = "\n".join(said).casefold()
    return all(word in text for word in search.casefold().split())


def line(choice: Choice) -> str:
    """The entry in the list."""
    bundle = choice.manifest
    if bundle is None:
        return _("{sign} {name}\ncannot be used").format(sign=theme.SIGNS["error"], name=choice.title)
    said = _("{modality}, {count} structures, {licence}").format(
        modality=bundle.modality, count=len(bundle.shown_labels), licence=bundle.licence.weights
    )
    if choice.offered is not None:
        return _("↓ {title}\nnot downloaded yet; {said}").format(title=bundle.title, said=said)
    return f"{bundle.title}\n{said}"


def page(choice: Choice, pace: Pace | None) -> str:
    """All there is to know about a bundle, as rich text.

    Args:
        pace: what a run on the chosen volume takes here, where it was measured.
    """
    bundle = choice.manifest
    if bundle is None:
        parts = [f"<p>{theme.mark('error')} {_safe(choice.trouble)}</p>"]
        parts += [f"<p><i>{_safe(choice.cure)}</i></p>"] if choice.cure else []
        return f"<h3>{_safe(choice.title)}</h3>{''.join(parts)}<p>{_safe(choice.folder)}</p>"
    rows = [
        (_("Time here"), expected(bundle, pace)),
        (_("Reads"), _reads(bundle)),
        (_("Method"), f"{bundle.network.name}, {bundle.strategy.name}"),
        (_("Licence of the weights"), bundle.licence.weights),
        (_("Training data"), bundle.licence.data),
        (_("Use"), bundle.licence.use),
        (_("On the disk"), _size(choice)),
    ]
    table = "".join(f"<tr><td><b>{_safe(name)}</b>&nbsp;</td><td>{_safe(said)}</td></tr>" for name, said in rows)
    return "".join(
        (
            f"<h3>{_safe(bundle.title)}</h3>",
            f"<p>{_safe(bundle.name)} {_safe(bundle.version)}. {_safe(bundle.description)}</p>",
            f"<table cellspacing='2'>{table}</table>",
            f"<h4>{_safe(_('Structures'))}</h4><p>{_labels(bundle)}</p>",
            f"<h4>{_safe(_('Measured, as the bundle says'))}</h4>{_scores(bundle)}",
            f"<h4>{_safe(_('How it was made'))}</h4>{_made(bundle)}",
            f"<p>{_safe(choice.folder)}</p>",
        )
    )


def expected(bundle: Bundle, pace: Pace | None) -> str:
    """What a run takes on this machine with the chosen volume."""
    if pace is None:
        return _("not measured yet")
    if not Parameters(bundle).hasOrder:
        return _("≈ {time}").format(time=words.duration(efforts.seconds(len(efforts.EFFORTS) - 1, pace)))
    said = []
    for place in efforts.MARKS:
        count, time = efforts.EFFORTS[place], words.duration(efforts.seconds(place, pace))
        if count == 0:
            said.append(_("coarse ≈ {time}").format(time=time))
        elif count is None:
            said.append(_("all {count} patches ≈ {time}").format(count=pace.candidates, time=time))
        elif count < pace.candidates:
            said.append(_("{count} patches ≈ {time}").format(count=count, time=time))
    return ", ".join(said)


def _reads(bundle: Bundle) -> str:
    spacing = " × ".join(f"{step:g}" for step in bundle.preprocess.spacing_mm)
    kinds = ", ".join(dict.fromkeys((bundle.modality, *bundle.channels)))
    return _("{kinds} at {spacing} mm").format(kinds=kinds, spacing=spacing)


def _size(choice: Choice) -> str:
    if choice.offered is not None:
        return _("its weights are not downloaded yet")
    try:
        return megabytes(sum(path.stat().st_size for path in choice.folder.iterdir() if path.is_file()))
    except OSError:
        return _("its folder is gone")


def _labels(bundle: Bundle) -> str:
    said = []
    for label in bundle.shown_labels:
        color = "#{:02x}{:02x}{:02x}".format(*label.color)
        said.append(f'<span style="color:{color}">■</span>&nbsp;{_safe(label.name)}')
    return ", ".join(said)


def _scores(bundle: Bundle) -> str:
    scores = bundle.provenance.get("scores")
    return _tree(scores) if scores else f"<p>{_safe(_('No scores are given.'))}</p>"


def _made(bundle: Bundle) -> str:
    rest = {name: value for name, value in bundle.provenance.items() if name != "scores"}
    return _tree(rest) if rest else f"<p>{_safe(_('Nothing is said about it.'))}</p>"


def _tree(value: Any) -> str:
    """A JSON value as nested lists, exactly as it stands there."""
    if value is None or value in ({}, [], ()):
        return "–"
    if isinstance(value, dict):
        items = ((f"{_safe(str(name).replace('_', ' '))}: ", inner) for name, inner in value.items())
    elif isinstance(value, (list, tuple)) and any(isinstance(inner, (dict, list)) for inner in value):
        items = (("", inner) for inner in value)
    elif isinstance(value, (list, tuple)):
        return ", ".join(_tree(inner) for inner in value)
    else:
        return _safe(value)
    return "<ul>" + "".join(f"<li>{name}{_tree(inner)}</li>" for name, inner in items) + "</ul>"


def _safe(said: object) -> str:
    """Whatever a stranger's manifest says is text, never markup."""
    return html.escape(str(said))
