"""Stand-ins for the ctk and qMRML widgets that the product's .ui file may name.

`WIDGETS` maps each class name to its stand-in. Each has exactly the names and defaults of `facts/widgets.json`.
"""

from . import ctk, ctk_values, nodes, plots, tables
from .base import FACTS, WIDGETS

__all__ = ["FACTS", "WIDGETS", "ctk", "ctk_values", "nodes", "plots", "tables"]
