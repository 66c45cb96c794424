"""Follows channels through a network: which layers write, scale and read each of them.

The real forward pass runs, in evaluation mode, and every ATen operation that it comes to is seen: whatever the code,
hooks and replaced forward passes do. Every element of a tensor belongs to a cell, one channel of that tensor. A dense
layer reads the cells of its input and writes new ones; element-wise operations, norms and poolings make new ones with
the same labels; views, slices and concatenations move them; an addition makes the labels of its operands one. An
operation without a rule pins the channels it touches, so that nothing is ever removed by guess.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.removal.calls import Call, tensors_in
from benchmark.removal.cells import core, flat, varies
from benchmark.removal.cuts import agreeing, is_hooked, noting
from benchmark.removal.labels import Cut, Number, Seen, Trace, UntraceableError
from benchmark.removal.ledger import address
from benchmark.removal.moves import is_index
from benchmark.removal.operations import (
    ACTIVATION_MODULES,
    CONVOLUTIONS,
    ELEMENTWISE,
    IDENTITIES,
    MIXING,
    MOVES,
    PARTS,
    RULES,
)
from benchmark.removal.origins import Origins
from benchmark.removal.passes import (
    as_inputs,
    attributes,
    check_kind,
    check_outputs,
    check_state,
    first_samples,
    following,
    reason_of,
)
from benchmark.removal.rules import Rules
from benchmark.removal.tensors import copy_with
from benchmark.removal.widths import is_same_pass, pin_fixed_widths

READS = frozenset({"_local_scalar_dense", "item", "is_nonzero", "equal"})
LARGER = (1, 2, 4)  # how many times as large images are that a training network is tried on
CASTS = frozenset({"to", "_to_copy"})
ESCAPES = frozenset({
    Tensor.numpy, Tensor.tolist, Tensor.__array__, Tensor.data_ptr, Tensor.__dlpack__, Tensor.untyped_storage,
    Tensor.storage, Tensor.__repr__,
})  # fmt: skip
MAKERS = {torch.tensor: 0, torch.as_tensor: 0, torch.asarray: 0, Tensor.new_tensor: 1, Tensor.new: 1}  # of values at


def trace(module: nn.Module, *inputs: Tensor) -> Trace:
    """Follows the channels of `module` on a batch of its inputs, each N × …; changes no parameter, statistic or mode.

    Raises UntraceableError where the forward pass depends on the data or does not accept the example.
    """
    few = first_samples(as_inputs(inputs))
    try:
        check_kind(module)
        with following(module, inputs[0]):
            followed = Follower(Rules(module)).run(module, few)
            if not is_same_pass(module, few, followed):
                followed = Follower(Rules(module)).run(module, few)  # the first may have filled a cache
                pin_fixed_widths(module, few, followed)
            if any(name not in followed.layers for name in dense_layers(module)):
                add_idle_layers(module, few, followed)
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape[1:])) for x in inputs)
        kind = type(module).__name__
        raise UntraceableError(f"{kind} cannot be traced on samples of shape {shapes}: {reason_of(error)}") from error
    return followed


def dense_layers(module: nn.Module) -> list[str]:
    """The names of a network's linear and convolutional layers."""
    return [name for name, part in module.named_modules() if isinstance(part, (nn.Linear, *CONVOLUTIONS))]


def add_idle_layers(module: nn.Module, inputs: tuple[Tensor, ...], followed: Trace) -> None:
    """Adds the layers that only a training network passes (auxiliary heads), so that they fit what they read.

    Such a head may need a larger image than the rest does. Where a training network cannot be followed, none is added.
    """
    training = copy_with(module, _blank).train()
    for times in LARGER if any(x.dim() == 4 for x in inputs) else LARGER[:1]:
        images = (_blank(x).repeat(1, 1, times, times) if x.dim() == 4 else _blank(x) for x in inputs)
        try:
            other = Follower(Rules(training)).run(training, tuple(images))
        except Exception:
            continue
        return _add_idle(other, followed)
    return None


def _blank(tensor: Tensor) -> Tensor:
    """Zeros of single precision for real numbers: only which layers read which channels counts."""
    zeros = torch.zeros_like(tensor, dtype=torch.float32) if tensor.is_floating_point() else tensor.clone()
    return nn.Parameter(zeros, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else zeros


def _add_idle(other: Trace, followed: Trace) -> None:
    same = np.full(other.size, -1)
    for name in followed.layers.keys() & other.layers.keys():
        same[other.layers[name].writes] = followed.layers[name].writes
    same[same < 0] = followed.add_label("only training makes them")
    for name, layer in other.layers.items():
        if name not in followed.layers:
            reads = None if layer.reads is None else same[layer.reads]
            followed.idle[name] = replace(layer, writes=same[layer.writes], reads=reads)
            if layer.blocks > 1:
                followed.pin(same[layer.reads], f"only training reads them, in {name}")


class Follower(TorchDispatchMode):
    """Sees every operation of a forward pass, and lets the rules say what becomes of the cells."""

    def __init__(self, rules: Rules):
        super().__init__()  # type: ignore[no-untyped-call]
        self.rules = rules
        self.seen: list[Seen] = []
        self.origins = Origins(rules.module)
        self.read: set[int] = set()  # the tensors that were operands
        self.numbers: list[Number] = []
        self.cast: torch.dtype | None = None  # what real numbers were last cast to

    def run(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Trace:
        copies = tuple(x.clone() for x in inputs)
        for x in copies:
            self.rules.start(x, "the network's input")
        self.origins.note(-1, copies)
        before = attributes(module)
        try:
            with noting(module, self.rules.running), self, Escapes(self.rules):
                outputs = module(*copies)
        except RuntimeError as error:
            if self.cast:
                raise UntraceableError(f"its layers do not take what it casts to {self.cast}") from error
            raise
        check_state(module, before, self.read)
        return self.result(outputs)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        call = Call.of(func, args, kwargs or {})
        rules = self.rules
        for x in call.tensors:
            if self.is_foreign(call, x):
                rules.start(x, "it is made where no operation is seen")
        followed = any(map(rules.follows, call.tensors))
        if followed and call.name not in RULES and call.name not in MIXING and func._can_decompose():
            self.seen.append(Seen(call.name, call.scalars, None))
            with self:
                return func.decompose(*args, **(kwargs or {}))
        if followed and self.reads_values(call):
            raise UntraceableError(f"its forward pass depends on values that come from its input ({call.name})")
        operands = tuple(map(self.origins.of, call.tensors))
        call.result = func(*args, **(kwargs or {}))
        if followed:
            made = len(rules.steps)
            rules.apply(call)
            self.note_numbers(call, range(made, len(rules.steps)))
        elif torch.Tag.nondeterministic_seeded in func.tags:
            rules.opaque(call, "random numbers")
        elif call.name not in MOVES or any(address(x) not in rules.stored for x in call.results):
            rules.borrow(call.tensors)
        for x in call.written:
            rules.write(x)
        self.read.update(map(id, call.tensors))
        if call.name in CASTS and call.result.is_floating_point() and call.result.dtype != call.tensors[0].dtype:
            self.cast = call.result.dtype
        results = call.results
        self.origins.note(len(self.seen), results)
        shapes = tuple(map(rules.shape_of, results))
        self.seen.append(Seen(call.name, call.scalars, shapes, operands, self.places(call)))
        return call.result

    def is_foreign(self, call: Call, tensor: Tensor) -> bool:
        """Whether no operation is known to have made a tensor: another thread, say, whatever it made it of."""
        known = call.name == "lift_fresh" or self.origins.of(tensor) is not None or address(tensor) in self.rules.own
        return not (known or self.rules.follows(tensor) or is_index(call, tensor))

    def places(self, call: Call) -> tuple[int, ...] | None:
        """The numbers that say where a call finds what, None where it takes a part of channels, or of a weight."""
        if call.name in PARTS:
            cells = self.rules.cells_of(call.arguments["self"])
            if cells is None or varies(cells)[call.arguments["dim"]]:
                return None
        return call.places

    def note_numbers(self, call: Call, steps: range) -> None:
        """Notes the numbers of an operation that treats each channel alone; an activation module's are its own."""
        pooled = call.arguments.get("divisor_override") is not None
        if call.name in IDENTITIES or not (call.name in ELEMENTWISE or pooled):
            return
        rules, part = self.rules, self.rules.running[-1] if self.rules.running else None
        alone = [i for i, x in enumerate(call.tensors) if x.numel() == 1 and not rules.follows(x)]
        lone = tuple(i for i in alone if address(call.tensors[i]) not in rules.own or rules.is_picked(call.tensors[i]))
        numbers = call.numbers(lone)
        plain = call.arguments.get("alpha") == 1 and numbers == (1,)
        if numbers and not plain and not _is_activation(part):
            self.numbers.append(Number(len(self.seen), steps, lone, call.name in ("mul", "div") or pooled))

    def reads_values(self, call: Call) -> bool:
        """Whether values decide what an operation gives to the code, or how much of it."""
        if torch.Tag.dynamic_output_shape in call.function.tags:
            masks = [x for x in tensors_in(call.arguments.get("indices")) if x.dtype in (torch.bool, torch.uint8)]
            return call.name != "index" or any(map(self.rules.follows, masks))
        return call.name in READS or torch.Tag.data_dependent_output in call.function.tags

    def result(self, outputs: Any) -> Trace:
        """The trace with one label per channel, and its pinned labels."""
        rules, book = self.rules, self.rules.book
        check_outputs(outputs)
        found = [cells for x in tensors_in(outputs) if (cells := rules.cells_of(x)) is not None]
        if not found:
            raise UntraceableError(f"its forward pass returns a {type(outputs).__name__} without a tensor")
        for cells in found:
            rules.consume(cells, "the network's output")
        rules.pin_unusual()
        root = book.roots()
        for layer in rules.layers.values():
            layer.writes = root[layer.writes]
            layer.reads = None if layer.reads is None else root[layer.reads]
        followed = Trace(
            size=book.labels,
            label=root[book.label[: book.count]],
            value=book.value[: book.count],
            steps=rules.steps,
            layers=rules.layers,
            parameters={name: root[labels] for name, labels in rules.parameters.items()},
            outputs={int(i) for cells in found for i in root[book.label[flat(core(cells))]]},
            seen=self.seen,
            elsewhere=rules.elsewhere,
            returned=tuple(map(self.origins.of, tensors_in(outputs))),
            picks=rules.picks,
            unfollowed=rules.unfollowed(),
            cuts=[Cut([root[part] for part in cut.parts], [root[part] for part in cut.alike]) for cut in rules.cuts],
            numbers=self.numbers,
            sizes=agreeing([replace(size, labels=root[size.labels]) for size in rules.sizes]),
        )
        for labels, reason in book.pins:
            followed.pin(root[labels], reason)
        return followed


def _is_activation(part: nn.Module | None) -> bool:
    """Whether a module, which runs, is an activation function of torch's, with no hooks but those that note it."""
    if part is None or type(part) not in ACTIVATION_MODULES:
        return False
    return "forward" not in vars(part) and not is_hooked(part)


class Escapes(TorchFunctionMode):
    """Refuses what takes values out of torch, where no operation is seen."""

    def __init__(self, rules: Rules):
        super().__init__()
        self.rules = rules

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        escaping = list(args[:1]) if func in ESCAPES else []
        if func in MAKERS:  # which read the values of tensors in lists unseen
            escaping = tensors_in([*args[MAKERS[func] :], *(kwargs or {}).values()])
        if any(map(self.rules.follows, escaping)):
            raise UntraceableError(f"its forward pass takes values out of torch ({func.__name__})")
        return func(*args, **(kwargs or {}))
