"""Fold batch normalisation into the preceding convolutions: the same function with fewer memory accesses."""

from collections import Counter
from copy import deepcopy

from torch import fx, nn
from torch.fx.proxy import TraceError
from torch.nn.utils.fusion import fuse_conv_bn_eval


def folded(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode with batch norms folded into the preceding convolutions; equal except for rounding.

    A norm is folded only if it is the sole consumer of a convolution and both are called once. A module whose forward
    pass cannot be traced is copied unchanged.
    """
    copy = deepcopy(module).eval()
    try:
        graph = _Tracer().trace(copy)
    except (TraceError, TypeError):  # control flow that depends on values
        return copy
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        if node.op != "call_module" or len(node.all_input_nodes) != 1:
            continue
        before = node.all_input_nodes[0]
        if before.op != "call_module" or len(before.users) != 1:
            continue
        if calls[node.target] == 1 and calls[before.target] == 1:
            _fold(copy, str(before.target), str(node.target))
    return copy


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    before, after = module.get_submodule(convolution), module.get_submodule(norm)
    if not isinstance(before, nn.Conv2d) or not isinstance(after, nn.BatchNorm2d) or after.running_mean is None:
        return
    if type(after) is nn.BatchNorm2d:
        rest: nn.Module = nn.Identity()
    elif isinstance(getattr(after, "act", None), nn.Module) and isinstance(getattr(after, "drop", None), nn.Module):
        rest = nn.Sequential(after.get_submodule("drop"), after.get_submodule("act"))  # timm's norm with activation
    else:
        return
    module.set_submodule(convolution, fuse_conv_bn_eval(before, after))
    module.set_submodule(norm, rest)


class _Tracer(fx.Tracer):
    """Treats convolutions and norms as leaves, also subclasses of a library."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)
