"""The rules: what each kind of operation does to the cells of the tensors it meets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.removal.calls import Call, tensors_in
from benchmark.removal.cells import along, compact, core, distinct, flat, spread, varies
from benchmark.removal.labels import Border, Ids, Kind, Layer, Step, UntraceableError, Values
from benchmark.removal.ledger import Ledger
from benchmark.removal.operations import AVERAGES, MIXING, PRODUCTS, RULES
from benchmark.removal.products import Product, read_product, takes_bias


class Rules(Ledger):
    """Enters into the ledger which cells a call's results hold, and how they came about."""

    def apply(self, call: Call) -> None:
        getattr(self, RULES.get(call.name, "opaque"))(call)

    def opaque(self, call: Call, reason: str = "") -> None:
        """Pins all that a call meets, and what it gives: the same channels, if it gives a tensor of the same shape."""
        name = call.name.strip("_")
        reason = reason or (f"{name} mixes them" if name in MIXING else f"{name} has no rule for exact removal")
        operands = [(x, cells) for x in call.tensors if (cells := self.cells_of(x)) is not None]
        self.borrow(call.tensors)
        for _, cells in operands:
            self.consume(cells, reason)
        for result in call.results:
            alike = [cells for x, cells in operands if x.shape == result.shape]
            self.start(result, reason, alike[0] if alike else None)

    def start(self, tensor: Tensor, reason: str, like: Tensor | None = None) -> None:
        """New, pinned cells for a tensor that comes from nowhere that can be followed; with the labels of others."""
        small = torch.zeros([1] * tensor.dim(), dtype=torch.int64) if like is None else core(like)
        first, inverse = distinct([flat(small)])
        labels = self.book.new_labels(1) if like is None else self.book.label[flat(small)[first]]
        self.book.pin(labels, reason)
        cells = self.step("start", (), labels)
        self.put(tensor, torch.from_numpy(cells[inverse]).view(small.shape).expand(tensor.shape))

    def step(
        self, kind: Kind, sources: tuple[Ids, ...], labels: Ids, values: Values | float = np.nan, **more: Any
    ) -> Ids:
        cells = self.book.new_cells(labels, values)
        self.steps.append(Step(kind, sources, cells, **more))
        return cells

    def combine(
        self,
        operands: list[Tensor],
        result: Tensor,
        kind: Kind = "map",
        border: Border = "none",
        shifts: bool = False,
        own: list[Tensor] | None = None,
    ) -> None:
        """New cells for a result of operands of its shape, place by place; makes the labels of `own` one."""
        axes = [any(vary) for vary in zip(*map(varies, operands), strict=True)]
        first, inverse = distinct([flat(core(cells, axes)) for cells in operands])
        sources = tuple(flat(core(cells, axes))[first] for cells in operands)
        united = [self.book.label[flat(core(cells, axes))[first]] for cells in own or operands]
        for labels in united[1:]:
            self.book.unite(united[0], labels)
        small = core(result.detach(), axes)
        values = small.reshape(-1)[torch.from_numpy(first).to(result.device)].double().cpu().numpy()
        cells = self.step(kind, sources, united[0], values, border=border, shifts=shifts)
        self.put(result, torch.from_numpy(cells[inverse]).view(small.shape).expand(result.shape))

    def elementwise(self, call: Call) -> None:
        """The same place of all operands; one that is broadcast over others' channels stays for all of them."""
        result, arguments = call.result, call.arguments
        if not isinstance(result, Tensor) or not result.numel() or arguments.get("train") or arguments.get("training"):
            return self.opaque(call)
        rank = result.dim()
        operands, fixed = [], []
        for x in _operands(call):
            cells, sizes = self.cells_of(x), [1] * (rank - x.dim()) + list(x.shape)
            if call.name == "prelu" and x is arguments["weight"] and rank > 1:
                sizes = [x.numel() if axis == 1 else 1 for axis in range(rank)]
                cells = cells if cells is None else cells.view(sizes)
            if cells is not None:
                operands.append((cells.expand(result.shape), sizes))
            elif x.numel() > 1:
                self.borrow([x])
                fixed.append(sizes)
        axes = [any(vary) for vary in zip(*(varies(cells) for cells, _ in operands), strict=True)]
        own = []
        for cells, sizes in operands:
            even = [axis for axis, vary in enumerate(varies(cells)) if axes[axis] and not vary]
            if even:
                self.consume(cells, f"{call.name} spreads it over other channels")
                fixed += [sizes] if any(sizes[axis] > 1 for axis in even) else []
            else:
                own.append(cells)
        if not own:
            return self.opaque(call)
        if any(size > 1 for sizes in fixed for size, vary in zip(sizes, axes, strict=True) if vary):
            for cells in own:
                self.consume(cells, f"{call.name} meets a tensor of fixed width")
        kind: Kind = "product" if call.name in PRODUCTS else "map"
        wide = [cells for cells, _ in operands]
        return self.combine(wide, result, kind, "other" if fixed else "none", call.name in IDENTITIES, own)

    def move(self, call: Call) -> None:
        """Moves the cells by the operation that moved the elements."""
        if any(self.cells_of(x) is None and not _is_index(call, x) for x in call.tensors):
            for x in call.tensors:
                if self.cells_of(x) is None and not _is_index(call, x):
                    self.borrow([x])
                    self.start(x, f"{call.name} joins it with what is not followed")
        if any(self.cells_of(x) is not None and _is_index(call, x) for x in call.tensors):
            return self.opaque(call)
        parts = [self.cells_of(x) for x in call.tensors]
        if call.name in ("cat", "concat", "stack") and self.lays_side_by_side(call, parts):
            return None
        for result, cells in zip(call.results, tensors_in(_moved(call, self.cells_of)), strict=True):
            small = compact(cells)
            self.put(result, small)
            if call.name in PICKS and parts[0] is not None:
                self.picks |= core(small).numel() < core(parts[0]).numel()
            elif call.name in SPLITS and parts[0] is not None:
                self.split(core(parts[0]), core(small), call.name)
        return None

    def split(self, whole: Tensor, parts: Tensor, name: str) -> None:
        """Makes channels one that a split of their axis into several lays behind each other: only all can go."""
        axes = [axis for axis, vary in enumerate(varies(parts)) if vary]
        if len(axes) <= sum(varies(whole)):
            return
        for axis in axes[1:] if name == "pixel_shuffle" else axes[:1]:
            first = parts.narrow(axis, 0, 1).expand(parts.shape)
            self.book.unite(self.book.label[flat(first)], self.book.label[flat(parts)])

    def lays_side_by_side(self, call: Call, parts: list[Tensor]) -> bool:
        """Whether a concatenation joins positions, not channels; then makes the channels of its parts one."""
        axis = call.arguments["dim"] % call.result.dim()
        parts = [cells.unsqueeze(axis) if call.name == "stack" else cells for cells in parts]
        if any(varies(cells)[axis] for cells in parts) or not any(any(varies(cells)) for cells in parts):
            return False
        wide = [core(cells).expand(call.result.shape) for cells in parts]
        same = all(torch.equal(core(cells), core(wide[0])) for cells in wide)
        if same:
            self.put(call.result, wide[0])
        else:
            self.combine(wide, call.result, border="other")
        return True

    def pool(self, call: Call) -> None:
        """Each window of the trailing axes, whose number is in the name."""
        arguments, axes = call.arguments, int(re.findall(r"(\d)d", call.name)[0])
        border: Border = "none"
        if call.name in AVERAGES:
            padded, divisor = _any(arguments["padding"]), arguments.get("divisor_override")
            partial = padded and arguments["count_include_pad"] if divisor is None else padded or arguments["ceil_mode"]
            border = "zeros" if partial else "none"
        scaled = call.name in AVERAGES and arguments.get("divisor_override") is not None
        self.over_positions(call, range(-axes, 0), border, shifts=border == "none" and not scaled)

    def resize(self, call: Call) -> None:
        cells = self.cells_of(call.arguments["self"] if "self" in call.arguments else call.arguments["input"])
        first = 2 if cells is not None and cells.dim() > 2 else 1
        self.over_positions(call, range(first, call.result.dim()), "none", shifts=True)

    def over_positions(self, call: Call, axes: Sequence[int], border: Border, shifts: bool) -> None:
        """A result each of whose values is made of values of one channel, at several positions along some axes."""
        x, result = call.tensors[0], call.results[0]
        cells = self.cells_of(x)
        if cells is None or len(call.tensors) > 1 or not result.numel() or any(varies(cells)[axis] for axis in axes):
            return self.opaque(call)
        self.combine([core(cells).expand(result.shape)], result, "map", border, shifts)
        for other in call.results[1:]:  # the places of the largest
            self.combine([core(cells).expand(other.shape)], other, border="other")
        return None

    def reduce(self, call: Call) -> None:
        """Means, sums and extremes over positions."""
        x = call.tensors[0]
        cells, dim = self.cells_of(x), call.arguments.get("dim")
        listed = [dim] if isinstance(dim, int) else list(dim or range(x.dim()))
        axes = sorted({axis % x.dim() for axis in listed}, reverse=True) if x.dim() else []
        result = call.results[0]
        if cells is None or len(call.tensors) > 1 or not result.numel() or any(varies(cells)[axis] for axis in axes):
            return self.opaque(call)
        small = core(cells)
        if result.dim() < x.dim():
            for axis in axes:
                small = small.select(axis, 0)
        sums = call.name == "sum"
        self.combine([small.expand(result.shape)], result, "map", "zeros" if sums else "none", shifts=not sums)
        for other in call.results[1:]:  # the places of the largest
            self.combine([small.expand(other.shape)], other, border="other")
        return None

    def pad(self, call: Call) -> None:
        """A border along axes of positions, or more channels."""
        arguments = call.arguments
        x, amounts, mode = arguments["self"], arguments["pad"], arguments.get("mode", "constant")
        cells, value = self.cells_of(x), arguments.get("value") or 0
        padded = [x.dim() - 1 - i // 2 for i, amount in enumerate(amounts) if amount]
        if cells is not None and mode == "constant" and any(varies(cells)[axis] for axis in padded):
            return self.pad_channels(call, cells, list(amounts))
        border: Border = "none" if mode != "constant" or not padded else "zeros" if value == 0 else "other"
        return self.over_positions(call, padded, border, shifts=border == "none")

    def pad_channels(self, call: Call, cells: Tensor, amounts: list[int]) -> None:
        """New channels that hold a constant, whose number is written in the code, beside those that are followed."""
        padded = compact(torch.nn.functional.pad(cells, amounts, value=-1))
        small = core(padded).clone()
        added = small == -1
        labels = self.book.new_labels(int(added.sum()))
        self.book.pin(labels, f"{call.name} adds channels to it")
        small[added] = torch.from_numpy(self.step("start", (), labels))
        self.put(call.result, small.expand(call.result.shape))
        self.consume(cells, f"{call.name} adds channels to it")

    def normalise(self, call: Call) -> None:
        """Batch and instance normalisation: each channel alone, by a module's own statistics, scales and shifts."""
        arguments = call.arguments
        x, result = arguments["input"], call.result
        parts = {key: arguments[key] for key in ("weight", "bias", "running_mean", "running_var")}
        measured = arguments.get("training") or arguments.get("use_input_stats")
        if measured and parts["running_mean"] is not None and not self.module.training:
            raise UntraceableError("its forward pass changes the running statistics of a norm in evaluation mode")
        names = {self.owner(part, key) for key, part in parts.items() if part is not None}
        cells = self.cells_of(x)
        inputs = along(cells, 1) if cells is not None and x.dim() > 1 else None
        if inputs is None or len(names) > 1 or None in names:
            return self.opaque(call)
        if not names:
            assert cells is not None
            return self.combine([cells], result)
        return self.alone(names.pop(), inputs, result)

    def alone(self, name: str, inputs: Ids, result: Tensor, border: Border = "none") -> None:
        """A layer that treats each channel alone."""
        labels = self.book.label[inputs]
        layer = self.layers.setdefault(name, Layer(name, self.modules[name], labels))
        self.book.unite(layer.writes, labels)
        values = result.detach().movedim(1, 0).flatten(1)[:, 0].double().cpu().numpy()
        cells = self.step("scale", (inputs,), labels, values, layer=name, border=border)
        layer.calls.append(self.steps[-1])
        self.put(result, spread(cells, result.shape, 1))

    def dense(self, call: Call) -> None:
        """Linear layers and convolutions: their inputs are read, their outputs new channels."""
        product = read_product(call.name, call.arguments, self.weights)
        name = self.layer_of(product) if product else None
        if product is None or name is None:
            return self.opaque(call, "" if product is None else "the weight of their layer is computed, or not its own")
        module, axis, result = self.modules[name], product.axis, call.result
        cells = self.cells_of(product.input)
        if product.alone:
            inputs = along(cells, axis) if cells is not None else None
            border: Border = "zeros" if product.bordered else "none"
            return self.opaque(call) if inputs is None else self.alone(name, inputs, result, border)
        outputs, width = product.weight.shape[0], product.input.shape[axis]
        inputs = self.inputs(name, cells, axis, width)
        layer = self.layers.get(name)
        if layer is None or layer.reads is None:
            layer = Layer(name, module, self.book.new_labels(outputs), self.book.label[inputs])
            self.layers[name] = layer
        self.book.unite(layer.reads, self.book.label[inputs])  # a shared layer: its channels are the same at every call
        layer.bordered |= product.bordered
        layer.takes_bias = product.bias is not None or takes_bias(module)
        values = result.detach().movedim(axis, 0).flatten(1)[:, 0].double().cpu().numpy()
        border = "zeros" if product.bordered else "none"
        made = self.step("dense", (inputs,), layer.writes, values, layer=name, border=border)
        layer.calls.append(self.steps[-1])
        self.put(result, spread(made, result.shape, axis))
        return None

    def inputs(self, name: str, cells: Tensor | None, axis: int, width: int) -> Ids:
        """The cells that a dense layer reads along an axis; new, pinned ones where they cannot be told apart."""
        found = along(cells, axis) if cells is not None else None
        if found is not None:
            return found
        reason = f"{name} reads them along another axis"
        if cells is not None:
            self.consume(cells, reason)
        labels = self.book.new_labels(width)
        self.book.pin(labels, reason)
        return self.step("start", (), labels)

    def layer_of(self, product: Product) -> str | None:
        """The name of the layer whose weight, bias and groups a product uses."""
        for name, key in self.owners.get(id(product.weight), ()):
            groups = getattr(self.modules[name], "groups", 1)
            biased = product.bias is None or (name, "bias") in self.owners.get(id(product.bias), ())
            if key == "weight" and groups == product.groups and biased:
                return name
        return None


PICKS = frozenset(
    {"chunk", "index", "index_select", "narrow", "select", "slice", "split", "split_with_sizes", "unbind"}
)
VIEWS = frozenset({"view", "_unsafe_view", "reshape", "_reshape_alias", "view_as", "reshape_as"})
SPLITS = VIEWS | {"unflatten", "pixel_shuffle"}
IDENTITIES = frozenset({"to", "_to_copy", "dropout", "feature_dropout", "alpha_dropout"})


def _operands(call: Call) -> list[Tensor]:
    """The tensors that decide an elementwise result: not what a copy writes over."""
    return [call.arguments["src"]] if call.name == "copy" else call.tensors


def _is_index(call: Call, tensor: Tensor) -> bool:
    """Whether a tensor says where a move takes its elements from."""
    indices = [*(call.arguments.get("indices") or ()), call.arguments.get("index")]
    return call.name in ("index", "index_select") and any(tensor is index for index in indices)


def _moved(call: Call, cells_of: Callable[[Tensor], Tensor | None]) -> Any:
    """What the call makes of its operands' cells."""

    def replaced(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.cpu() if _is_index(call, value) else cells_of(value)
        return [replaced(item) for item in value] if isinstance(value, list | tuple) else value

    arguments = {key: replaced(value) for key, value in call.arguments.items() if key != "memory_format"}
    if call.name in VIEWS:
        return arguments["self"].reshape(call.result.shape)
    return call.function(**arguments)


def _any(amounts: Any) -> bool:
    return any(amounts) if isinstance(amounts, list | tuple) else bool(amounts)
