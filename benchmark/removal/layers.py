"""The rules of operations that use a layer's parameters: convolutions, linear layers, norms."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from benchmark.removal.calls import Call
from benchmark.removal.cells import along, spread
from benchmark.removal.cuts import is_hooked
from benchmark.removal.labels import Border, Ids, Layer, UntraceableError, Values
from benchmark.removal.making import Making
from benchmark.removal.products import Product, is_as_usual, read_product


class Layers(Making):
    """Layers are known by their parameters, not by their types: whatever code uses a module's own weight is a call."""

    def dense(self, call: Call) -> None:
        """Linear layers and convolutions: their inputs are read, their outputs new channels."""
        product = read_product(call.name, call.arguments, self.weights)
        if product is None:
            return self.opaque(call)
        name = self.layer_of(product)
        if name is None:
            return self.opaque(call, "the weight of their layer is computed, or not its own")
        cells, border = self.cells_of(product.input), _border(product)
        inputs = None if cells is None else along(cells, product.axis)
        if not product.alone:
            return self.mix(
                name, product, self.unknown(name, product, cells) if inputs is None else inputs, call.result
            )
        uses = frozenset(("weight",) if product.bias is None else ("weight", "bias"))
        return self.opaque(call) if inputs is None else self.alone(name, inputs, call.result, uses, border)

    def mix(self, name: str, product: Product, inputs: Ids, result: Tensor) -> None:
        """A layer that mixes channels; at every call they are the same."""
        labels, module = self.book.label[inputs], self.modules[name]
        layer = self.layers.get(name)
        if layer is None or layer.reads is None:
            layer = Layer(name, module, self.book.new_labels(product.weight.shape[0]), labels)
            self.layers[name] = layer
        assert layer.reads is not None
        self.book.unite(layer.reads, labels)
        layer.bordered |= product.bordered
        as_usual = self.running[-1:] == [module] and is_as_usual(module) and not is_hooked(module)
        layer.as_usual &= as_usual
        layer.takes_bias &= as_usual or product.bias is not None
        values = _first_values(result, product.axis)
        cells = self.step("dense", (inputs,), layer.writes, values, layer=name, border=_border(product))
        layer.calls.append(self.steps[-1])
        self.put(result, spread(cells, result.shape, product.axis))

    def unknown(self, name: str, product: Product, cells: Tensor | None) -> Ids:
        """New, pinned cells for what a layer reads along an axis on which channels cannot be told apart."""
        reason = f"{name} reads them along another axis"
        if cells is not None:
            self.consume(cells, reason)
        labels = self.book.new_labels(product.input.shape[product.axis])
        self.book.pin(labels, reason)
        return self.step("start", (), labels)

    def normalise(self, call: Call) -> None:
        """Batch and instance normalisation: each channel alone, by a module's own statistics, scales and shifts."""
        arguments = call.arguments
        x = arguments["input"]
        keys = ("weight", "bias", "running_mean", "running_var")
        parts = {key: arguments[key] for key in keys if arguments[key] is not None}
        measured = arguments.get("training") or arguments.get("use_input_stats")
        if measured and "running_mean" in parts and not self.module.training:
            raise UntraceableError("its forward pass changes the running statistics of a norm in evaluation mode")
        names = {self.owner(part, key) for key, part in parts.items()}
        cells = self.cells_of(x)
        inputs = along(cells, 1) if cells is not None and x.dim() > 1 else None
        name = names.pop() if names else None
        if cells is None or inputs is None or names or (name is None and parts):
            return self.opaque(call)
        if name is None:
            return self.combine([cells], call.result)
        return self.alone(name, inputs, call.result, uses=frozenset(parts))

    def alone(self, name: str, inputs: Ids, result: Tensor, uses: frozenset[str], border: Border = "none") -> None:
        """A layer that treats each channel alone, with some of its parameters and statistics."""
        labels = self.book.label[inputs]
        layer = self.layers.setdefault(name, Layer(name, self.modules[name], labels))
        self.book.unite(layer.writes, labels)
        values = _first_values(result, 1)
        cells = self.step("scale", (inputs,), labels, values, layer=name, border=border, uses=uses)
        layer.calls.append(self.steps[-1])
        self.put(result, spread(cells, result.shape, 1))

    def layer_of(self, product: Product) -> str | None:
        """The name of the layer whose weight, bias and groups a product uses."""
        for name, key in self.owners.get(id(product.weight), ()):
            groups = getattr(self.modules[name], "groups", 1)
            biased = product.bias is None or (name, "bias") in self.owners.get(id(product.bias), ())
            if key == "weight" and groups == product.groups and biased:
                return name
        return None


def _border(product: Product) -> Border:
    return "zeros" if product.bordered else "none"


def _first_values(result: Tensor, axis: int) -> Values:
    """What each channel holds at the first position of the first sample."""
    values: Values = result.detach().movedim(axis, 0).flatten(1)[:, 0].double().cpu().numpy()
    return np.ascontiguousarray(values)
