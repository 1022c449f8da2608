"""Which parameters the optimiser treats alike: their weight decay, and their share of the learning rate.

Which layer of a network a parameter belongs to is the network's own knowledge. A network, or a part of one, that has
`layer_of(name) -> int` tells it: 0 is the layer that sees the input first, the highest number has the whole learning
rate. One with `undecayed` names learned positions, tokens and tables, which weight decay should leave alone: the last
parts of their names.
"""

from typing import Any

from torch import nn

from EfficientSegLib.errors import OptionError
from EfficientSegLib.training.config import TrainConfig


def groups(model: nn.Module, config: TrainConfig) -> list[nn.Parameter] | list[dict[str, Any]]:
    """What the optimiser is made of: all that is trained, in groups where the configuration tells them apart.

    Each group has its `params`, its `lr` and `weight_decay`, and `share`, its part of the learning rate, in (0, 1].

    Raises:
        OptionError: layer_decay is given for a network that has no order of layers.
    """
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if config.layer_decay == 1 and config.decayed == "all":
        return list(trained.values())  # one group, as in every checkpoint of such a training so far
    shares = _shares(model, config)
    kept = _undecayed(model) if config.decayed == "weights" else set()
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in trained.items():
        plain = name in kept or (config.decayed == "weights" and parameter.dim() < 2)
        key = (shares.get(name, 1.0), 0.0 if plain else config.weight_decay)
        found.setdefault(key, []).append(parameter)
    return [
        {"params": members, "lr": config.learning_rate * share, "share": share, "weight_decay": decay}
        for (share, decay), members in sorted(found.items(), key=lambda item: item[0], reverse=True)
    ]


def _shares(model: nn.Module, config: TrainConfig) -> dict[str, float]:
    """Share of the learning rate by name: `layer_decay` once for every layer that is above the parameter's own.

    Source: BEiT and MAE (arXiv 2111.06377), as STP + MTA + UNETR is trained (arXiv 2303.06522).
    """
    if config.layer_decay == 1:
        return {}
    shares = {}
    for prefix, part in model.named_modules():
        if hasattr(part, "layer_of"):
            layers = {name: part.layer_of(name) for name, _ in part.named_parameters()}
            for name, layer in layers.items():
                shares[_joined(prefix, name)] = config.layer_decay ** (max(layers.values()) - layer)
    if not shares:
        raise OptionError(
            f"layer_decay is {config.layer_decay}.",
            why=f"The network {config.template.network.name!r} does not tell the order of its layers.",
            mend="Leave it out, or use 'stp_unetr'.",
        )
    return shares


def _undecayed(model: nn.Module) -> set[str]:
    """Names of the parameters that the network's parts name."""
    names = set()
    for prefix, part in model.named_modules():
        told = getattr(part, "undecayed", ())
        names |= {_joined(prefix, name) for name, _ in part.named_parameters() if name.rpartition(".")[2] in told}
    return names


def _joined(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
