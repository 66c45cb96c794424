"""Remembers which cells each tensor of a forward pass holds, also where several tensors share their memory."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from benchmark.removal.book import Book
from benchmark.removal.cells import compact, core, flat, spread
from benchmark.removal.labels import Cut, Ids, Layer, Shape, Size, Step, UntraceableError
from benchmark.removal.passes import attributes
from benchmark.removal.tensors import Layout, layout, tensors_of


@dataclass
class Entry:
    """The cells of a tensor, where its elements lay when it got them, and how often that had been written to."""

    tensor: weakref.ref[Tensor]
    cells: Tensor
    address: int
    layout: Layout
    writes: int


@dataclass
class Memory:
    """Memory that was written to in place, kept so that no other can take its address."""

    storage: torch.UntypedStorage
    writes: int = 0
    held: list[Ids] = field(default_factory=list)  # all cells that a tensor in it ever had


class Ledger:
    """The cells of tensors, the steps that made them, the layers they passed, and who owns each parameter."""

    def __init__(self, module: nn.Module):
        self.module = module
        self.book = Book()
        self.steps: list[Step] = []
        self.layers: dict[str, Layer] = {}
        self.parameters: dict[tuple[str, str], Ids] = {}
        self.borrowed: set[tuple[str, str]] = set()  # parameters that the forward pass uses outside their layer
        self.elsewhere: set[tuple[str, str]] = set()  # parameters that more than their layer uses
        self.picks = False  # whether the forward pass takes some channels of a tensor alone, by their place
        self.running: list[nn.Module] = []  # the modules whose forward passes run, the innermost last
        self.cuts: list[Cut] = []
        self.sizes: list[Size] = []
        self.entries: dict[int, Entry] = {}
        self.memories: dict[int, Memory] = {}
        self.tenants: dict[int, StorageWeakRef] = {}  # by its address memory that a tensor with cells lies in
        self.modules = dict(module.named_modules())
        self.owners: dict[int, list[tuple[str, str]]] = {}
        kept = [value for value in attributes(module).values() if isinstance(value, Tensor)]  # in objects, too
        self.own = {address(tensor) for tensor in (*tensors_of(module), *kept)}
        self.stored: dict[int, list[tuple[str, str]]] = {}  # by address of their memory the owners of parameters
        self.weights: dict[int, list[Tensor]] = {}  # and the tensors themselves
        for name, part in self.modules.items():
            for key, tensor in (*part._parameters.items(), *part._buffers.items()):
                if tensor is not None:
                    self.owners.setdefault(id(tensor), []).append((name, key))
                    self.stored.setdefault(address(tensor), []).append((name, key))
                    self.weights.setdefault(address(tensor), []).append(tensor)

    def put(self, tensor: Tensor, cells: Tensor) -> None:
        """Enters the cells of a tensor."""
        key = address(tensor)
        memory = self.memories.get(key)
        if memory is not None:
            memory.held.append(flat(core(cells)))
        self.entries[id(tensor)] = Entry(
            weakref.ref(tensor), cells, key, layout(tensor), memory.writes if memory else 0
        )
        self.tenants[key] = StorageWeakRef(tensor.untyped_storage())

    def cells_of(self, tensor: Tensor) -> Tensor | None:
        """The cells of a tensor, None if neither the input nor a parameter of one value a channel is in it."""
        entry = self._entry(tensor)
        if entry is not None:
            return entry.cells
        if self._is_alias(tensor):
            return self._alias(tensor)
        return self._parameter(tensor) if self._is_vector(tensor) else None

    def follows(self, tensor: Tensor) -> bool:
        """Whether a tensor has cells, or would get some when they are asked for."""
        return self._entry(tensor) is not None or self._is_alias(tensor) or self._is_vector(tensor)

    def _entry(self, tensor: Tensor) -> Entry | None:
        entry = self.entries.get(id(tensor))
        if entry is None or entry.tensor() is not tensor:
            return None
        memory = self.memories.get(entry.address)  # code may put other memory under a tensor: `x.data = y`
        moved = entry.address != address(tensor) or entry.layout != layout(tensor)
        return None if moved or (memory is not None and entry.writes != memory.writes) else entry

    def _is_alias(self, tensor: Tensor) -> bool:
        """Whether a tensor without cells lies in memory that others with cells lie in, or wrote to."""
        tenant = self.tenants.get(address(tensor))
        return tenant is not None and not tenant.expired()  # memory that was written to stays: `Memory` keeps it

    def _is_vector(self, tensor: Tensor) -> bool:
        """Whether a tensor is a parameter or buffer that holds one real value a channel."""
        wide = sum(size > 1 for size in tensor.shape)
        return wide == 1 and tensor.is_floating_point() and id(tensor) in self.owners

    def _alias(self, tensor: Tensor) -> Tensor:
        """Cells for a tensor that was written to, or made, under another name: pinned like all others in its memory."""
        key, reason = address(tensor), "its values are written to, or read, under another name"
        held = [entry.cells for entry in self.entries.values() if entry.address == key]
        for cells in (*map(flat, map(core, held)), *(self.memories[key].held if key in self.memories else ())):
            self.book.pin(self.book.label[cells], reason)
        labels = self.book.new_labels(1)
        self.book.pin(labels, reason)
        cells = self.book.new_cells(labels)
        self.steps.append(Step("start", (), cells))
        self.put(tensor, torch.from_numpy(cells).view([1] * tensor.dim()).expand(tensor.shape))
        return self.entries[id(tensor)].cells

    def _parameter(self, tensor: Tensor) -> Tensor:
        """Cells for a parameter or buffer that holds one value a channel."""
        labels = self.book.new_labels(tensor.numel())
        self.parameters[self.owners[id(tensor)][0]] = labels
        cells = self.book.new_cells(labels, tensor.detach().reshape(-1).double().cpu().numpy())
        self.steps.append(Step("constant", (), cells))
        self.put(tensor, spread(cells, tensor.shape, int(np.argmax(tensor.shape))))
        return self.entries[id(tensor)].cells

    def write(self, tensor: Tensor) -> None:
        """Notes that a tensor was written to in place: what else lies in its memory has other values now."""
        key = address(tensor)
        if key in self.own and self.module.training:
            return
        if key in self.own:
            name = ".".join(self.stored[key][0]).lstrip(".") if key in self.stored else "a tensor of its own"
            raise UntraceableError(f"its forward pass changes {name}")
        memory = self.memories.setdefault(key, Memory(tensor.untyped_storage()))
        memory.writes += 1
        entry = self.entries.get(id(tensor))
        if entry is not None and entry.tensor() is tensor:
            memory.held.append(flat(core(entry.cells)))
            entry.writes = memory.writes

    def consume(self, cells: Tensor, reason: str) -> None:
        """Pins cells that an operation without a rule reads."""
        ids = flat(core(compact(cells)))
        self.book.pin(self.book.label[ids], reason)
        self.steps.append(Step("opaque", (ids,), np.empty(0, dtype=np.int64)))

    def borrow(self, tensors: list[Tensor]) -> None:
        """Notes that parameters, or views of them, are used outside their layer."""
        for tensor in tensors:
            self.borrowed.update(self.stored.get(address(tensor), ()))

    def is_picked(self, tensor: Tensor) -> bool:
        """Whether a tensor is a part of a parameter, so that slicing the parameter may put another value there."""
        return any(whole.numel() > tensor.numel() for whole in self.weights.get(address(tensor), ()))

    def pin_unusual(self) -> None:
        """Pins the layers that share a parameter, or whose parameters are used elsewhere too."""
        for owners in self.owners.values():
            (first, key), *others = owners
            for name, _ in others:
                self.elsewhere |= {(first, key), (name, key)}
                for twin in (name, first):
                    self._pin_layer(twin, f"{name} shares its {key} with {first}")
        self.elsewhere |= self.borrowed | self.parameters.keys()
        for name, key in sorted(self.borrowed | self.parameters.keys()):
            if (name, key) in self.parameters and name not in self.layers:
                continue
            self._pin_layer(name, f"the {key} of {name} is used outside its layer")

    def _pin_layer(self, name: str, reason: str) -> None:
        layer = self.layers.get(name)
        if layer is not None:
            self.book.pin(layer.writes, reason)
            if layer.reads is not None:
                self.book.pin(layer.reads, reason)
        for (owner, _), labels in self.parameters.items():
            if owner == name:
                self.book.pin(labels, reason)

    def unfollowed(self) -> dict[str, int]:
        """By name the layers that the forward pass used in ways without a rule, and how many channels they make."""
        used = {name.partition(".parametrizations")[0] for name, _ in self.borrowed}
        counts = {name: _made(part) for name, part in self.modules.items() if name in used and name not in self.layers}
        return {name: count for name, count in counts.items() if count}

    def shape_of(self, tensor: Tensor) -> Shape:
        """A tensor's shape and cells, as they are compared with those of a network of other widths."""
        cells = self.cells_of(tensor)
        if cells is None:
            return Shape(None if address(tensor) in self.stored else tuple(tensor.shape), None)
        return Shape(tuple(tensor.shape), core(cells).numpy())

    def owner(self, tensor: Tensor | None, key: str) -> str | None:
        """The name of the module whose parameter or buffer `key` a tensor is."""
        names = self.owners.get(id(tensor), []) if tensor is not None else []
        return next((name for name, own in names if own == key), None)


def address(tensor: Tensor) -> int:
    """Where a tensor's memory lies."""
    return tensor.untyped_storage().data_ptr()


def _made(part: nn.Module) -> int:
    """How many channels a layer makes."""
    if isinstance(part, nn.RNNBase):
        return part.hidden_size * part.num_layers * (2 if part.bidirectional else 1)
    if isinstance(part, nn.MultiheadAttention):
        return int(part.embed_dim)
    if isinstance(part, nn.Linear):
        return part.out_features
    return int(part.out_channels) if isinstance(part, nn.modules.conv._ConvNd) else 0
