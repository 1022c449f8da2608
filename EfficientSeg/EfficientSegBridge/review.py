"""The review list: which places have been seen, and what was decided; without widgets and without the scene."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from EfficientSegLib.protocol import Place

State = Literal["open", "seen", "accepted", "rejected", "edited"]
STATES = get_args(State)
ALL = 0  # no label has this value: places of every structure


class Review:
    """Goes through places in the order in which they were given.

    Args:
        places: the most worthwhile first.
        saved: what `toJson` gave before; what does not fit is taken as not seen.
    """

    def __init__(self, places: Sequence[Place], saved: Mapping[str, Any] | None = None) -> None:
        self.places = tuple(places)
        saved = saved or {}
        states = saved.get("states")
        fits = isinstance(states, list) and len(states) == len(self.places)
        self._states: list[State] = [
            state if state in STATES else "open" for state in (states if fits else ["open"] * len(self.places))
        ]
        current = saved.get("current")
        self._current = current if fits and isinstance(current, int) and 0 <= current < len(self.places) else -1
        self._only = ALL

    @property
    def current(self) -> int:
        """The place that is looked at; -1 for none."""
        return self._current

    @property
    def place(self) -> Place | None:
        return self.places[self._current] if self._current >= 0 else None

    @property
    def listed(self) -> list[int]:
        """The places that are shown, in their order."""
        return [i for i, place in enumerate(self.places) if self._only in (ALL, place.value)]

    @property
    def values(self) -> list[int]:
        """Labels that have places, in the order of their first."""
        return list(dict.fromkeys(place.value for place in self.places))

    @property
    def seen(self) -> int:
        """How many of those listed are not open any more."""
        return sum(self._states[i] != "open" for i in self.listed)

    def state(self, index: int) -> State:
        return self._states[index]

    def show(self, value: int) -> None:
        """List the places of one structure only, or of ALL."""
        self._only = value
        if self._current >= 0 and self._current not in self.listed:
            self._current = -1

    def goTo(self, index: int) -> None:
        """Look at a place; it is then seen."""
        self._current = index
        if index >= 0 and self._states[index] == "open":
            self._states[index] = "seen"

    def following(self, step: int) -> int:
        """The place `step` further down the list; where the list ends, its end; -1 where it is empty."""
        listed = self.listed
        if not listed:
            return -1
        if self._current not in listed:
            return listed[0] if step > 0 else listed[-1]
        return listed[min(max(listed.index(self._current) + step, 0), len(listed) - 1)]

    def nextOpen(self) -> int:
        """The next place that nobody has seen, below the present one, else from the top; -1 if all are seen."""
        listed = self.listed
        start = listed.index(self._current) + 1 if self._current in listed else 0
        return next((i for i in listed[start:] + listed[:start] if self._states[i] == "open"), -1)

    def decide(self, state: State) -> None:
        """Write down what was decided of the present place."""
        if self._current >= 0:
            self._states[self._current] = state

    def takeOver(self, earlier: "Review") -> None:
        """Keep what was decided of places in which nothing is new; more patches leave most places as they were."""
        known = {_content(place): earlier.state(index) for index, place in enumerate(earlier.places)}
        self._states = [known.get(_content(place), state) for place, state in zip(self.places, self._states)]

    def toJson(self) -> dict[str, Any]:
        return {"states": list(self._states), "current": self._current, "seen": self.total("open", negate=True)}

    def total(self, state: State, negate: bool = False) -> int:
        """How many of all places are in this state, or are not."""
        return sum((each == state) != negate for each in self._states)


def _content(place: Place) -> tuple:
    """What makes a place the same one; its worth is measured against all others and moves with them."""
    return (place.box, place.value, place.kind, place.ml)
