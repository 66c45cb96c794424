"""Which operations treat channels alone, by module type and by function name; any other operation pins channels."""

from __future__ import annotations

from torch import fx, nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
ACTIVATION_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus,
    nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
)  # fmt: skip
ELEMENTWISE_MODULES = (
    *ACTIVATION_MODULES, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d,
)  # fmt: skip
POOLINGS = (
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d,
)  # fmt: skip
ELEMENTWISE = {
    "relu", "relu_", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "tanh", "sigmoid", "softplus",
    "mish", "hardswish", "hardsigmoid", "hardtanh", "dropout", "dropout2d", "stochastic_depth", "contiguous", "clone",
    "detach", "float", "double",
}  # fmt: skip
POOLING = {
    "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d",
    "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d", "adaptive_max_pool2d",
}  # fmt: skip
MERGING = {"add", "iadd", "add_", "sub", "isub", "mul", "imul", "mul_"}
RESHAPING = {"flatten", "view", "reshape"}
SHAPES = {"size", "dim", "getattr", "getitem", "floordiv"}
SIZES = {"size", "dim", "numel", "getattr"}  # what tells of a tensor without looking at its values


def function_name(node: fx.Node) -> str:
    """The name of the function or method that a node calls."""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))


def pooled_axes(operation: str) -> int:
    """How many trailing axes a pooling works on, by its name: 2 for `AdaptiveAvgPool2d`."""
    return int(operation[-2])


def is_depthwise(layer: nn.Module) -> bool:
    """Whether a convolution treats every channel alone."""
    return isinstance(layer, CONVOLUTIONS) and 1 < layer.groups == layer.in_channels == layer.out_channels


def convolution_groups(layer: nn.Module) -> int:
    """Into how many blocks of inputs and outputs a dense layer falls; 1 for all but grouped convolutions."""
    return getattr(layer, "groups", 1)


def sees_constants_everywhere(layer: nn.Module) -> bool:
    """Whether a constant input channel adds the same to the layer's output at every position."""
    if isinstance(layer, nn.Linear) or layer.padding_mode != "zeros":
        return True
    if isinstance(layer.padding, str):
        return layer.padding == "valid" or all(k == 1 for k in layer.kernel_size)
    return all(p == 0 for p in layer.padding)


def passes_constants_on(layer: nn.Module) -> bool:
    """Whether adding a constant to a channel of the input adds the same constant to that of the output."""
    if isinstance(layer, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
        padding = layer.padding if isinstance(layer.padding, tuple) else (layer.padding,)
        if getattr(layer, "divisor_override", None) is not None:
            return False
        return not any(padding) or not layer.count_include_pad
    return isinstance(layer, (*POOLINGS, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d))


def mixes_zeros_in(layer: nn.Module) -> bool:
    """Whether a pooling or convolution of a constant depends on the position: zeros beyond the border count."""
    if isinstance(layer, nn.AvgPool1d | nn.AvgPool2d | nn.AvgPool3d):
        padded = any(layer.padding) if isinstance(layer.padding, tuple) else bool(layer.padding)
        if getattr(layer, "divisor_override", None) is not None:
            return padded or layer.ceil_mode
        return padded and layer.count_include_pad
    return isinstance(layer, CONVOLUTIONS) and not sees_constants_everywhere(layer)


def is_altered(module: nn.Module) -> bool:
    """Whether a module computes something else than its type does: a hook or a forward of its own."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in module.__dict__)


def fixed_size(node: fx.Node, axis: int) -> bool:
    """Whether a view or reshape gives the size of an axis as a number, or takes its whole shape from elsewhere."""
    if function_name(node) == "flatten":
        return False
    shape = node.kwargs.get("shape") or node.kwargs.get("size") or node.args[1:]
    if len(shape) == 1 and isinstance(shape[0], list | tuple):
        shape = shape[0]
    if len(shape) == 1:
        return True
    return isinstance(shape[axis], int) and shape[axis] != -1
