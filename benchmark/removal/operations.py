"""Which operations treat channels alone, by their ATen names; any other operation pins the channels that it meets."""

from __future__ import annotations

from torch import nn

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
ACTIVATION_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Softplus,
    nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh,
)  # fmt: skip

# Every element of the result depends on the elements at its place. In-place variants go by the same name.
ELEMENTWISE = frozenset({
    "abs", "add", "addcdiv", "addcmul", "alpha_dropout", "atan", "bitwise_and", "bitwise_not", "bitwise_or", "ceil",
    "celu", "clamp", "clamp_max", "clamp_min", "cos", "copy", "div", "dropout", "elu", "eq", "erf", "exp", "expm1",
    "feature_dropout", "floor", "fmod", "ge", "gelu", "gt", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "le", "leaky_relu", "lerp", "log", "log1p", "log2", "log_sigmoid", "logical_and", "logical_not", "logical_or",
    "lt", "masked_fill", "maximum", "minimum", "mish", "mul", "nan_to_num", "ne", "neg", "ones_like", "pow", "prelu",
    "reciprocal", "relu", "relu6", "remainder", "round", "rrelu", "rsqrt", "rsub", "selu", "sigmoid", "sign", "silu",
    "sin", "softplus", "softshrink", "sqrt", "square", "sub", "tan", "tanh", "threshold", "to", "_to_copy", "trunc",
    "where", "zeros_like",
})  # fmt: skip
FILLINGS = frozenset({"fill", "full", "full_like", "new_full", "scalar_tensor"})
PRODUCTS = frozenset({"mul"})

# The result's elements are elements of the operands, in other places.
MOVES = frozenset({
    "alias", "cat", "chunk", "clone", "concat", "contiguous", "detach", "expand", "expand_as",
    "flatten", "flip", "index", "index_select", "lift_fresh", "matrix_H", "movedim", "mT", "narrow", "numpy_T",
    "permute", "pixel_unshuffle", "repeat", "repeat_interleave", "reshape", "reshape_as",
    "select", "slice", "split", "split_with_sizes", "squeeze", "stack", "swapaxes", "t", "tile", "transpose",
    "unbind", "unflatten", "unsqueeze", "view", "view_as", "_reshape_alias", "_unsafe_view",
})  # fmt: skip
AVERAGES = frozenset({"avg_pool1d", "avg_pool2d", "avg_pool3d"})
POOLINGS = AVERAGES | frozenset({
    "max_pool1d", "max_pool2d", "max_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "max_pool2d_with_indices",
    "max_pool3d_with_indices",
})  # fmt: skip
REDUCTIONS = frozenset({"mean", "sum", "amax", "amin", "max", "min"})
RESIZINGS = frozenset({
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d", "upsample_bilinear2d",
    "upsample_bicubic2d", "upsample_trilinear3d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa",
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "reflection_pad1d", "reflection_pad2d",
    "reflection_pad3d", "replication_pad1d", "replication_pad2d", "replication_pad3d",
})  # fmt: skip
DENSE = frozenset({"linear", "convolution", "addmm", "mm", "matmul"})
NORMALISATIONS = frozenset({"batch_norm", "instance_norm"})
# Every channel of the result depends on several of the operands'. Some are composed of others, but best named whole.
MIXING = frozenset({
    "layer_norm", "group_norm", "rms_norm", "softmax", "log_softmax", "scaled_dot_product_attention", "lstm", "gru",
    "rnn_tanh", "rnn_relu", "einsum", "embedding", "bilinear", "matmul", "mm", "bmm", "addmm", "baddbmm",
})  # fmt: skip
PICKS = frozenset({
    "chunk", "index", "index_select", "narrow", "select", "slice", "split", "split_with_sizes", "unbind",
})  # fmt: skip
CUTS = frozenset({"chunk", "narrow", "slice", "split", "split_with_sizes"})
JOINS = frozenset({"cat", "concat", "stack"})
VIEWS = frozenset({"view", "_unsafe_view", "reshape", "_reshape_alias", "view_as", "reshape_as"})
SPLITS = VIEWS | {"unflatten"}
PARTS = frozenset({"narrow", "select", "slice"})
# Numbers that they are given are widths, or follow them; whether they do rightly shows in their results.
SIZED = SPLITS | frozenset({"expand", "repeat", "split", "split_with_sizes"})
IDENTITIES = frozenset({"to", "_to_copy", "dropout", "feature_dropout", "alpha_dropout"})

RULES: dict[str, str] = {
    **dict.fromkeys(ELEMENTWISE, "elementwise"),
    **dict.fromkeys(MOVES, "move"),
    **dict.fromkeys(POOLINGS, "pool"),
    **dict.fromkeys(REDUCTIONS, "reduce"),
    **dict.fromkeys(RESIZINGS, "resize"),
    **dict.fromkeys(DENSE, "dense"),
    **dict.fromkeys(NORMALISATIONS, "normalise"),
    "channel_shuffle": "shuffle",
    "glu": "gate",
    "roll": "roll",
    "pixel_shuffle": "shuffle_pixels",
    "softmax": "weigh",
    "pad": "pad",
    "constant_pad_nd": "pad",
}
