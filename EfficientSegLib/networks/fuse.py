"""Networks of 2D convolutions as fewer, larger steps: what surrounds a convolution is calculated within it.

A part of a network whose Python always takes the same way is written down as a graph (torch.fx), and in the graph

* batch norms (evaluation mode) and constant factors per channel become part of the convolution before them,
* activations and sums with a shortcut become its last step, so that no second or third pass over the map is needed, and
  no memory for it,
* its weights are brought into oneDNN's own order at the first call instead of at every one (on CPUs),
* what nobody reads afterwards is overwritten.

What does not fit any of these stays as it is.
"""

import operator
from collections import Counter

import torch
from torch import fx, nn
from torch.nn import functional

from EfficientSegLib.networks.fused import FusedConvolution, GatedBlock, activation_of, times

_KEPT_WHOLE = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.LayerNorm, GatedBlock)
_NOTHING = (nn.Identity, nn.Dropout, nn.Dropout2d)
_CALLED = {torch.relu: "relu", functional.relu: "relu", functional.silu: "swish", torch.sigmoid: "sigmoid"}
_CALLED |= {"relu": "relu", "relu_": "relu", "sigmoid": "sigmoid", "sigmoid_": "sigmoid"}
_SUMS = (operator.add, operator.iadd, torch.add)
_PRODUCTS = (operator.mul, operator.imul, torch.mul)
_GIVE_NEW = (operator.add, torch.add, operator.mul, torch.mul)
_NO_VIEWS = {
    *_GIVE_NEW,
    times,
    torch.cat,
    "mean",
    "amax",
    "sum",
    "sigmoid",
}  # readers that keep no view of what they read


def fuse(model: nn.Module, precision: str) -> nn.Module:
    """Rewrite every part of `model` (evaluation mode) that can be, in place; returns it.

    The model itself stays what it is, with its methods; its children become graphs where torch.fx can follow them, or
    else their children do.

    Args:
        precision: "fp32" or "bf16", of convolutions.
    """
    _take_gated_blocks(model, precision)
    for name, child in list(model.named_children()):
        if FusedConvolution.takes(child):  # a head: what it says is not rounded, which costs nothing
            setattr(model, name, FusedConvolution(child).finish("fp32"))
    _fuse_children(model, precision)
    return model


def _take_gated_blocks(model: nn.Module, precision: str) -> None:
    for parent in list(model.modules()):
        for number, (name, block) in enumerate(list(parent.named_children())):
            if GatedBlock.takes(block):
                # The first of a level reads what may be read elsewhere; the others what the one before made for them.
                overwrites = isinstance(parent, nn.Sequential) and number > 0
                setattr(parent, name, GatedBlock(block, overwrites, precision))


def _fuse_children(model: nn.Module, precision: str) -> None:
    for name, child in list(model.named_children()):
        if FusedConvolution.takes(child):
            setattr(model, name, FusedConvolution(child).finish(precision))
        elif not isinstance(child, _KEPT_WHOLE):
            graph = _graph(child)
            if graph is None:
                _fuse_children(child, precision)
            else:
                setattr(model, name, _Rewriting(graph, precision).done())


class _Tracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return isinstance(module, _KEPT_WHOLE) or super().is_leaf_module(module, qualified_name)


def _graph(module: nn.Module) -> fx.GraphModule | None:
    """A part with convolutions inside as a graph; None where its Python decides something by what it is given."""
    own = module.forward
    if own.__defaults__ or not any(isinstance(inner, nn.Conv2d) for inner in module.modules()):
        return None  # what may be left out would count as given
    try:
        return fx.GraphModule(module, _Tracer().trace(module))
    except Exception:  # a tracer fails in as many ways as Python can be written
        return None


class _Rewriting:
    """One graph, made faster step by step."""

    def __init__(self, module: fx.GraphModule, precision: str) -> None:
        self._module, self._graph = module, module.graph
        self._precision = precision

    def done(self) -> fx.GraphModule:
        for node in list(self._graph.nodes):
            if isinstance(self._layer(node), _NOTHING):
                self._replace(node, node.args[0])
        calls = Counter(node.target for node in self._graph.nodes if node.op == "call_module")
        for node in list(self._graph.nodes):
            layer = self._layer(node)
            if layer is not None and FusedConvolution.takes(layer) and calls[node.target] == 1:
                fused = FusedConvolution(layer)
                self._set(node, fused)
                self._take_what_follows(node, fused)
                fused.finish(self._precision)
        self._overwrite()
        self._module.delete_all_unused_submodules()
        self._graph.lint()
        self._module.recompile()
        return self._module

    def _take_what_follows(self, node: fx.Node, fused: FusedConvolution) -> None:
        """Norms, factors and one activation behind a convolution, or one sum and one activation."""
        while len(node.users) == 1:
            (user,) = node.users
            norm = self._layer(user)
            if isinstance(norm, nn.BatchNorm2d) and (activation := _norms_activation(norm)) is not None:
                fused.take_norm(norm)
                fused.activation = activation
            elif (factor := self._factor(user, node, fused)) is not None:
                fused.take_factor(factor)
            else:
                break
            self._replace(user, node)
            if fused.activation != "none":
                return
        node = self._take_sum(node)
        if len(node.users) == 1:
            (user,) = node.users
            activation = self._activation(user)
            if activation not in (None, "none") and (len(node.args) == 1 or activation == "relu"):
                fused.activation = activation
                self._replace(user, node)

    def _take_sum(self, node: fx.Node) -> fx.Node:
        """The node that calculates the sum with what stands beside this one; itself where there is none."""
        if len(node.users) != 1:
            return node
        (user,) = node.users
        beside = [other for other in user.args if isinstance(other, fx.Node) and other is not node]
        is_sum = user.target in _SUMS and len(user.args) == 2 and not user.kwargs
        if not is_sum or len(beside) != 1 or (user.target is operator.iadd and user.args[0] is not node):
            return node  # x += node changes x for whoever else reads it
        with self._graph.inserting_before(user):
            summed = self._graph.call_module(node.target, (*node.args, beside[0]))
        self._replace(user, summed)
        self._graph.erase_node(node)
        return summed

    def _overwrite(self) -> None:
        """Sums and products are written into what they read, where it is new and nobody reads it later."""
        order = {node: place for place, node in enumerate(self._graph.nodes)}
        for node in self._graph.nodes:
            layer = self._layer(node)
            if isinstance(layer, FusedConvolution) and len(node.args) == 2:
                layer.overwrites = self._is_free(node.args[1], node, order)
            elif node.target in _PRODUCTS and all(isinstance(part, fx.Node) for part in node.args):
                node.target = times if self._is_free(node.args[0], node, order) else node.target

    def _is_free(self, read: fx.Node, by: fx.Node, order: dict[fx.Node, int]) -> bool:
        """Whether `by` is the last to read this, and nobody holds a view of it."""
        is_new = isinstance(self._layer(read), FusedConvolution) or read.target in (*_GIVE_NEW, times)
        return is_new and all(
            order[user] <= order[by]
            and (isinstance(self._layer(user), FusedConvolution) or user.target in _NO_VIEWS)
            and list(by.args).count(read) == 1
            for user in read.users
        )

    def _layer(self, node: fx.Node) -> nn.Module | None:
        return self._module.get_submodule(node.target) if node.op == "call_module" else None

    def _set(self, node: fx.Node, layer: nn.Module) -> None:
        parent, _, name = node.target.rpartition(".")
        setattr(self._module.get_submodule(parent), name, layer)

    def _replace(self, node: fx.Node, by: fx.Node) -> None:
        node.replace_all_uses_with(by)
        self._graph.erase_node(node)

    def _activation(self, node: fx.Node) -> str | None:
        """oneDNN's name of what a node calculates, where it is an activation; see `activation_of`."""
        if node.op == "call_module":
            return activation_of(self._layer(node))
        if node.target is functional.gelu and node.kwargs.get("approximate", "none") == "none" and len(node.args) == 1:
            return "gelu"
        return _CALLED.get(node.target)

    def _factor(self, node: fx.Node, of: fx.Node, fused: FusedConvolution) -> torch.Tensor | None:
        """The constant per channel by which a node multiplies another."""
        if node.target not in _PRODUCTS or len(node.args) != 2 or node.args[0] is not of:
            return None
        factor = node.args[1]
        if not isinstance(factor, fx.Node) or factor.op != "get_attr":
            return None
        path, _, name = factor.target.rpartition(".")
        value = getattr(self._module.get_submodule(path), name)
        channels = fused.weight.shape[0]
        return value if tuple(value.shape) in ((channels, 1, 1), (1, channels, 1, 1)) else None


def _norms_activation(norm: nn.BatchNorm2d) -> str | None:
    """What a batch norm does at its end, or None where it is of an unknown kind. timm's have an activation."""
    if norm.running_mean is None or type(norm).__name__ not in ("BatchNorm2d", "BatchNormAct2d"):
        return None
    return activation_of(norm.act) if hasattr(norm, "act") else "none"
