"""The state of a training as numbers, and a training begun anew brought to it.

Captured is everything that can be reached from some named objects: a network, an optimiser, a method's attributes.
Restored is in place: what hooks, closures and optimisers hold stays the object that they hold. An object that is met
twice is captured once, so what was one object is one again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from benchmark.method.interface import Method
from benchmark.runner.stored import UnfitError

PLAIN = (type(None), bool, int, float, str)
CONSTANT = (torch.dtype, torch.device, torch.layout, torch.memory_format)
INTEGERS = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
STORED = (*INTEGERS, torch.float16, torch.float32, torch.float64)  # what NumPy's files hold
MODULE = vars(nn.Module()).keys() - {"training", "_parameters", "_buffers", "_modules"}
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
ABSENT = object()

Node = list[Any]  # what JSON holds: a kind, and what belongs to it


class UncapturableError(TypeError):
    """Something is neither a tensor nor a number nor made of these; the message says where it is and what."""


@dataclass(frozen=True)
class State:
    """A structure with tensors in it, which go by their numbers."""

    structure: Node
    tensors: dict[str, Tensor]


def capture(roots: dict[str, Any]) -> State:
    """The state of all that can be reached from named objects, tensors copied. Raises UncapturableError."""
    work = _Capture()
    structure = work.node(roots, "")
    work.mark_overlaps()
    return State(structure, work.tensors)


def restore(state: State, roots: dict[str, Any]) -> None:
    """Brings what can be reached from named objects to a state that was captured of such ones.

    Raises UnfitError, with nothing changed, where they are made otherwise.
    """
    work = _Restore(state.tensors)
    try:
        work.value(state.structure, roots)
    except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:  # no structure of ours
        raise UnfitError(f"its structure is another ({error})") from None
    with torch.no_grad():
        for action in work.actions:
            action()


class _Capture:
    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.met: dict[int, tuple[int, Any]] = {}  # by identity: the number, and the object, which keeps its identity
        self.spans: list[tuple[str, int, int, Node]] = []  # of each tensor: device, first byte, end, its node

    def node(self, value: Any, place: str) -> Node:
        if type(value) in PLAIN:
            return ["plain", value]
        if id(value) in self.met:
            return ["same", self.met[id(value)][0]]
        text = _constant(value)
        if text is not None:
            return ["constant", text]
        if isinstance(value, tuple):
            return ["tuple", _kind(value), [self.node(part, f"{place}[{i}]") for i, part in enumerate(value)]]
        self.met[id(value)] = len(self.met), value
        if isinstance(value, Tensor):
            return self._tensor(value, place)
        if isinstance(value, torch.Generator):
            return ["generator", str(value.device), self._store(value.get_state())]
        if isinstance(value, list):
            return ["list", _kind(value), [self.node(part, f"{place}[{i}]") for i, part in enumerate(value)]]
        if isinstance(value, dict):
            return ["dict", _kind(value), [self._item(key, part, place) for key, part in value.items()]]
        parts = _parts(value)
        if parts is None:
            raise UncapturableError(f"{place.lstrip('.')} is a {type(value).__name__}")
        return [
            "object",
            _kind(value),
            [[name, self.node(part, f"{place}.{name}")] for name, part in parts.items()],
        ]

    def _item(self, key: Any, part: Any, place: str) -> Node:
        """A key is plain, a tuple of such, or an object met before: a parameter, in an optimiser's state."""
        known = type(key) in PLAIN or isinstance(key, tuple) or id(key) in self.met
        if not known:
            raise UncapturableError(f"a key of {place.lstrip('.')} is a {type(key).__name__}")
        name = key if isinstance(key, str) else f"[{key}]" if type(key) in PLAIN else "[…]"
        return [self.node(key, place), self.node(part, f"{place}.{name}")]

    def _tensor(self, tensor: Tensor, place: str) -> Node:
        fits = tensor.layout == torch.strided and tensor.dtype in STORED and tensor.is_leaf
        if not fits or type(tensor) not in (Tensor, nn.Parameter, nn.Buffer) or _repeats(tensor):
            raise UncapturableError(f"{place.lstrip('.')} is a tensor of another kind, or part of a graph")
        node = ["tensor", type(tensor).__name__, str(tensor.device), list(tensor.stride()), tensor.requires_grad]
        node += [False, self._store(tensor.detach())]
        length = sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)) + 1
        if tensor.numel():
            start = tensor.data_ptr()
            self.spans.append((str(tensor.device), start, start + length * tensor.element_size(), node))
        node.append(self.node(tensor.grad if tensor.requires_grad else None, f"{place}.grad"))
        return node

    def _store(self, tensor: Tensor) -> str:
        name = str(len(self.tensors))
        self.tensors[name] = tensor.to("cpu", copy=True)
        return name

    def mark_overlaps(self) -> None:
        """Marks the tensors that share memory: they have to be filled where they are."""
        self.spans.sort(key=lambda span: span[:3])
        latest: tuple[str, int, int, Node] | None = None  # of those that begin before, the one that ends last
        for span in self.spans:
            if latest is not None and span[0] == latest[0] and span[1] < latest[2]:
                span[3][5] = latest[3][5] = True
            if latest is None or span[0] != latest[0] or span[2] > latest[2]:
                latest = span


class _Restore:
    """Finds for every node the object that it was captured of, or makes it; `actions` then bring all to the state."""

    def __init__(self, tensors: dict[str, Tensor]):
        self.tensors = tensors
        self.made: list[Any] = []  # by number
        self.claimed: set[int] = set()
        self.actions: list[Callable[[], Any]] = []

    def value(self, node: Node, fresh: Any) -> Any:
        kind, *content = node
        if kind == "plain":
            return content[0]
        if kind == "same":
            return self.made[content[0]]
        if kind == "constant":
            return _fitting(fresh, _constant(fresh) == content[0], content[0])
        return getattr(self, f"_{kind}")(fresh, *content)

    def _take(self, fresh: Any, fits: bool, kind: str, make: Callable[[], Any] | None) -> Any:
        """The object as it is there where it fits and is no other's, or else a new one, where that can be made."""
        free = fits and id(fresh) not in self.claimed
        taken = fresh if free else _fitting(make, make is not None, kind)()
        self.claimed.add(id(taken))
        self.made.append(taken)
        return taken

    def _tensor(
        self,
        fresh: Any,
        kind: str,
        device: str,
        steps: list[int],
        trains: bool,
        overlaps: bool,
        name: str,
        grad: Node,
    ) -> Tensor:
        saved = self.tensors[name]
        make = None if overlaps or kind != "Tensor" else _empty(saved, device, steps)
        fits = isinstance(fresh, Tensor) and (type(fresh).__name__, str(fresh.device)) == (kind, device)
        fits = fits and (fresh.shape, fresh.dtype, list(fresh.stride())) == (saved.shape, saved.dtype, steps)
        tensor: Tensor = self._take(fresh, fits, f"a {kind} of {tuple(saved.shape)}", make)
        before = tensor.grad if tensor.requires_grad else None
        after = self.value(grad, ABSENT if before is None else before)
        self.actions.append(lambda: tensor.copy_(saved))
        self.actions.append(lambda: tensor.requires_grad_(trains))
        if before is not after:
            self.actions.append(lambda: setattr(tensor, "grad", after))
        return tensor

    def _generator(self, fresh: Any, device: str, name: str) -> torch.Generator:
        fits = isinstance(fresh, torch.Generator) and str(fresh.device) == device
        generator: torch.Generator = self._take(fresh, fits, device, lambda: torch.Generator(device))
        self.actions.append(lambda: generator.set_state(self.tensors[name]))
        return generator

    def _tuple(self, fresh: Any, kind: str, nodes: list[Node]) -> Any:
        there = fresh if isinstance(fresh, tuple) and _kind(fresh) == kind and len(fresh) == len(nodes) else None
        parts = [self.value(node, there[i] if there else ABSENT) for i, node in enumerate(nodes)]
        if there is not None and all(map(_equal, parts, there)):
            return there
        return _fitting(tuple(parts), kind == _kind(()), kind)

    def _list(self, fresh: Any, kind: str, nodes: list[Node]) -> list[Any]:
        fits = isinstance(fresh, list) and _kind(fresh) == kind
        there = [*fresh] if fits and id(fresh) not in self.claimed else []
        taken: list[Any] = self._take(fresh, fits, kind, list if kind == _kind([]) else None)
        parts = [self.value(node, there[i] if i < len(there) else ABSENT) for i, node in enumerate(nodes)]
        self.actions.append(lambda: taken.__setitem__(slice(None), parts))
        return taken

    def _dict(self, fresh: Any, kind: str, items: list[list[Node]]) -> dict[Any, Any]:
        fits = isinstance(fresh, dict) and _kind(fresh) == kind
        there = {**fresh} if fits and id(fresh) not in self.claimed else {}
        taken: dict[Any, Any] = self._take(fresh, fits, kind, dict if kind == _kind({}) else None)
        keys = [self.value(key, ABSENT) for key, _ in items]
        parts = [(key, self.value(node, there.get(key, ABSENT))) for key, (_, node) in zip(keys, items, strict=True)]
        self.actions += [taken.clear, lambda: taken.update(parts)]
        return taken

    def _object(self, fresh: Any, kind: str, nodes: list[tuple[str, Node]]) -> Any:
        found = _parts(fresh)
        there = found or {}
        taken = self._take(fresh, found is not None and _kind(fresh) == kind, kind, None)
        parts = {name: self.value(node, there.get(name, ABSENT)) for name, node in nodes}
        for name, part in parts.items():
            if name not in there or part is not there[name]:
                self.actions.append(_setter(taken, name, part))
        for name in there.keys() - parts.keys():
            self.actions.append(_deleter(taken, name))
        return taken


def _parts(value: Any) -> dict[str, Any] | None:
    """What an object is made of, by attribute; None for one whose insides are not ours to know."""
    if isinstance(value, nn.Module):
        return {name: part for name, part in vars(value).items() if name not in MODULE}
    if isinstance(value, torch.optim.Optimizer):
        own = {name: part for name, part in vars(value).items() if name not in _optimizer_fields()}
        return {"param_groups": own.pop("param_groups"), **own}  # whose parameters are keys of the state
    if isinstance(value, Method):
        return dict(vars(value))
    if is_dataclass(value) and not isinstance(value, type):
        names = {field.name for field in fields(value)} | getattr(value, "__dict__", {}).keys()
        return {name: getattr(value, name) for name in sorted(names) if hasattr(value, name)}
    return None


@cache
def _optimizer_fields() -> set[str]:
    """What torch keeps in every optimizer, beside its state; the first optimizer of a process costs it a second."""
    return vars(torch.optim.SGD([torch.zeros(1)])).keys() - {"state", "param_groups"}


def _kind(value: Any) -> str:
    """An object's type by name, and how many hooks a module has: those are the fresh one's own."""
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    hooks = [len(getattr(value, table)) for table in HOOKS] if isinstance(value, nn.Module) else []
    return f"{name} with {sum(hooks)} hooks" if any(hooks) else name


def _constant(value: Any) -> str | None:
    """What names an object that training does not change: a class, a function without insides, a hook's handle."""
    if isinstance(value, CONSTANT):
        return str(value)
    if isinstance(value, RemovableHandle):
        return "the handle of a hook"
    if not isinstance(value, type | FunctionType | BuiltinFunctionType) or "<" in value.__qualname__:
        return None
    if isinstance(value, BuiltinFunctionType) and not isinstance(value.__self__, ModuleType | type | None):
        return None
    return f"{value.__module__}.{value.__qualname__}"


def _fitting(value: Any, fits: bool, kind: str) -> Any:
    """The value. Raises UnfitError unless it fits."""
    if not fits:
        raise UnfitError(f"nothing here is like its {kind}")
    return value


def _equal(one: Any, other: Any) -> bool:
    return one is other or (type(one) in PLAIN and type(one) is type(other) and bool(one == other))


def _repeats(tensor: Tensor) -> bool:
    """Whether several places of a tensor are one in memory, as `expand` makes them."""
    return any(size > 1 and step == 0 for size, step in zip(tensor.shape, tensor.stride(), strict=True))


def _empty(like: Tensor, device: str, steps: list[int]) -> Callable[[], Tensor]:
    return lambda: torch.empty_strided(like.shape, steps, dtype=like.dtype, device=device)


def _setter(target: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: object.__setattr__(target, name, value)  # past frozen dataclasses and a module's own ways


def _deleter(target: Any, name: str) -> Callable[[], None]:
    return lambda: object.__delattr__(target, name)
