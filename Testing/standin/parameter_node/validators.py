"""Rules for single parameters.

Each rule is a test, an error class and a sentence. Those sentences that `facts/parameter_node.json` holds are the
application's, because users read them.
"""

from collections.abc import Callable
from typing import Any


class Validator:
    """A rule; `validate` raises where a value breaks it."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError(f"{type(self).__name__} has no rule.")


def _rule(
    name: str, fields: str, keeps: Callable, refusal: str, error: type[Exception] = ValueError, about: str = ""
) -> type[Validator]:
    """A Validator class.

    Args:
        name: of the class.
        fields: names of its arguments, kept as attributes.
        keeps: given the rule and a value, whether the value keeps the rule.
        refusal: a format string over the rule `r` and the value `v`.
        error: what is raised.
        about: docstring.
    """
    names = fields.split()

    def construct(self: Validator, *values: Any, **named: Any) -> None:
        given = {**dict(zip(names, values)), **named}
        if len(values) > len(names) or set(given) != set(names):
            raise TypeError(f"{name} takes {fields or 'no arguments'}.")
        vars(self).update(given)

    def validate(self: Validator, value: Any) -> None:
        if not keeps(self, value):
            raise error(refusal.format(r=self, v=value, kind=type(value)))

    return type(name, (Validator,), {"__doc__": about, "__init__": construct, "validate": validate})


NotNone = _rule("NotNone", "", lambda r, v: v is not None, "Value must not be None", about="Something is set.")
IsInstance = _rule(
    "IsInstance",
    "classtype",
    lambda r, v: v is None or isinstance(v, r.classtype),
    "Value must be of type '{r.classtype}', is type '{kind}' value '{v}'",
    TypeError,
    "An object of this class, or None.",
)
WithinRange = _rule(
    "WithinRange",
    "minimum maximum",
    lambda r, v: r.minimum <= v <= r.maximum,
    "Value must be within range [{r.minimum}, {r.maximum}], is {v}",
    about="Between two values, both included.",
)
Minimum = _rule("Minimum", "minimum", lambda r, v: v >= r.minimum, "{v} is below {r.minimum}", about="Not below this.")
Maximum = _rule("Maximum", "maximum", lambda r, v: v <= r.maximum, "{v} is above {r.maximum}", about="Not above this.")
Choice = _rule(
    "Choice",
    "choices",
    lambda r, v: v in r.choices,
    "Value is {v}, but must be in one of the following: {r.choices}",
    about="One of these values.",
)
Exclude = _rule(
    "Exclude",
    "excludedValues",
    lambda r, v: v not in r.excludedValues,
    "{v} is excluded",
    about="None of these values.",
)
RangeBounds = _rule(
    "RangeBounds",
    "minimum maximum",
    lambda r, v: r.minimum <= v.minimum and v.maximum <= r.maximum,
    "{v} reaches beyond {r.minimum} or {r.maximum}",
    about="Bounds for a value that is itself a range.",
)
