"""What every method must keep to, as checks that explain a failure in terms of the interface.

They run whole trials on a simulated task, so a method passes only if the benchmark can use it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

import torch

from benchmark.data.dataset import Dataset
from benchmark.errors import some
from benchmark.experiment.record import Record
from benchmark.experiment.trial import MethodSetting, Protocol, Task, Trial, shared_training
from benchmark.method.domains import Real, Text
from benchmark.method.interface import Method
from benchmark.method.registry import check_metadata, get_method
from benchmark.networks.build import build
from benchmark.removal.groups import Net, find_groups
from benchmark.runner.hygiene import Room, exits_are_errors
from benchmark.runner.interruptions import BrokenOffError, Interrupting
from benchmark.runner.train import Course, train
from benchmark.runner.trial import LOG, Base, examples, explain, make_method, run, train_base

TASK = Task(dataset="simulated", network="mlp", widths=(32,))
SHORT = Protocol(epochs=30, batch_size=8)
PROTOCOL = Protocol(epochs=150, batch_size=8)  # for what does not show in the short one: with Adam, channels die late
REPEATED = Protocol(epochs=15, batch_size=8)  # what is random shows in any training
PLACEHOLDER = "arXiv:0000.00000"  # in the template's reference
LEARNS = 0.9  # validation accuracy at the weak end of the knob; chance is 0.25


class ViolationError(AssertionError):
    """A method breaks a rule of the interface; the message says which and how to keep it."""


def check(name: str) -> dict[str, str | None]:
    """What is wrong with a method, or None, by rule. Raises UsageError for an unknown method."""
    get_method(name)
    return {rule: check_rule(name, rule) for rule in CHECKS}


def check_rule(name: str, rule: str) -> str | None:
    """How a method breaks one of the `CHECKS`, or None."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    room = Room()
    room.enter(simulated_trial(name))
    try:
        with exits_are_errors():
            CHECKS[rule](name)
    except ViolationError as violation:
        return str(violation)
    except (Exception, SystemExit) as error:  # the method's own code
        LOG.debug("%s", rule, exc_info=True)
        return explain(error)
    finally:
        room.leave()
        torch.set_num_threads(threads)
    return None


def simulated_trial(name: str, **hyperparameters: Any) -> Trial:
    """A trial of the method on the simulated task."""

    def setting(method: str, values: dict[str, Any]) -> MethodSetting:
        kind = get_method(method)
        return MethodSetting(method=method, version=kind.version, hyperparameters=kind.validate(values))

    own, base = setting(name, hyperparameters), get_method(name).base
    started = shared_training(own) if base == name else setting(base, {}) if base else None
    return Trial(study="conformance", label=name, task=TASK, setting=own, base=started, protocol=PROTOCOL, seed=0)


def _ends(name: str) -> tuple[float | None, float | None]:
    """The knob's weakest default point, and the strongest value it accepts; None without a knob."""
    method = get_method(name)
    if method.knob is None:
        return None, None
    domain = method.space[method.knob]
    return min(domain.grid), domain.high


def _trial(name: str, knob: float | None, protocol: Protocol) -> Trial:
    trial = simulated_trial(name, **({} if knob is None else {get_method(name).knob: knob}))
    return trial.model_copy(update={"protocol": protocol})


_bases: dict[str, Base] = {}  # by their keys: most methods that have one start from the same


def _base(trial: Trial) -> Base | None:
    if trial.base is None:
        return None
    if trial.base_key not in _bases:
        _bases[trial.base_key] = train_base(trial)
    return _bases[trial.base_key]


def _fresh_run(name: str, knob: float | None, protocol: Protocol = SHORT) -> Record:
    trial = _trial(name, knob, protocol)
    record = run(trial, _base(trial))
    if not record.measured:
        raise ViolationError(f"a trial with its knob at {knob} ended as {record.status}: {record.error}")
    return record


_run = cache(_fresh_run)


def _learned(name: str, knob: float | None) -> float:
    """The validation accuracy, after the long protocol if the short one does not teach enough."""
    found = _run(name, knob).val_accuracy
    return found if found >= LEARNS else _run(name, knob, PROTOCOL).val_accuracy


def _enough(name: str) -> Protocol:
    """The protocol in which the knob can be seen to remove: the short one, if its strong end removes more there."""
    weak, strong = _ends(name)
    if strong is None or _run(name, strong).weight_sparsity > _run(name, weak).weight_sparsity:
        return SHORT
    return PROTOCOL


def complete_metadata(name: str) -> None:
    """Title, reference, knob and space are there and fit together, and a docstring card says what the method does."""
    method = get_method(name)
    try:
        check_metadata(method)
    except ValueError as error:
        raise ViolationError(str(error)) from None
    if PLACEHOLDER in method.reference:
        raise ViolationError(f"reference is still the template's, {method.reference!r}: name the paper, year and id")
    if method.knob is not None and len(getattr(method.space[method.knob], "grid", ())) < 2:
        raise ViolationError(f"space[{method.knob!r}] needs a grid of at least two points: the knob's default sweep")


def validated_hyperparameters(name: str) -> None:
    """Unknown names and values out of range are refused with a ValueError."""
    method = get_method(name)
    wrong: list[dict[str, Any]] = [{"no_such_hyperparameter": 1}]
    for key, domain in method.space.items():
        wrong.append({key: domain.high * 2 + 1 if isinstance(domain, Real) else "no such option"})
        if isinstance(domain, Text):
            wrong[-1] = {key: 1}  # its pattern may match any words
        wrong.append({key: None})
    for values in wrong:
        try:
            method.validate(values)
        except ValueError:
            continue
        raise ViolationError(f"validate accepted {values}: keep Method.validate, and bounds on every Real")


def learns(name: str) -> None:
    """At the weak end of its knob it learns the simulated task."""
    weak, _ = _ends(name)
    found = _learned(name, weak)
    if found < LEARNS:
        raise ViolationError(
            f"validation accuracy {found:.2f} with its knob at {weak}: under {LEARNS}, it does not learn"
        )


def knob_removes(name: str) -> None:
    """The strong end of the knob removes more than the weak end; a method without a knob removes nothing."""
    method = get_method(name)
    weak, strong = (_run(name, end, _enough(name)).weight_sparsity for end in _ends(name))
    if method.knob is None and weak > 0:
        raise ViolationError(f"it has no knob and yet removed {weak:.1%} of the weights")
    if method.knob is not None and not strong > weak:
        raise ViolationError(
            f"{method.knob} at its strong end removed {strong:.1%} of the weights, at its weak end {weak:.1%}: "
            "after training, `silence` must leave more zeros the stronger the knob"
        )


def same_seed_same_result(name: str) -> None:
    """Two runs with equal seeds give equal records, whatever happens to global random state in between."""
    first = _fresh_run(name, _ends(name)[0], REPEATED)
    with torch.random.fork_rng(devices=[]):
        torch.rand(1)
        second = _fresh_run(name, _ends(name)[0], REPEATED)
    field = _difference(first, second)
    if field is not None:
        raise ViolationError(f"{field} differs between two runs of one seed: draw from self.generator alone")


def _difference(one: Record, other: Record) -> str | None:
    """The first field in which two records of one trial differ."""
    fields = ("val_accuracy", "test_accuracy", "history", "channels_left", "threshold_sweep", "weight_sparsity")
    return next((name for name in fields if getattr(one, name) != getattr(other, name)), None)


def resumes(name: str) -> None:
    """A run that is broken off again and again, and goes on from its state each time, ends as an undisturbed one.

    A method whose state cannot be captured begins anew instead, which takes longer and changes nothing.
    """
    trial, storage = _trial(name, None, REPEATED), Interrupting()
    base, whole = _base(trial), _fresh_run(name, None, REPEATED)
    for storage.left in (4, 4, 4, 0):
        with suppress(BrokenOffError):
            field = _difference(whole, run(trial, base, kept=storage.kept(trial)))
            break
    if field is not None:
        raise ViolationError(
            f"{field} differs between a run that was broken off and one that was not: keep what training changes in "
            "attributes, as tensors and numbers, and let hooks hold what `prepare` makes and training changes in place"
        )


def silence_keeps(name: str) -> None:
    """`silence` keeps the network's shape and statistics and the data."""
    method, net, data = _trained(name, _enough(name))
    state = {key: tensor.clone() for key, tensor in net.module.state_dict().items()}
    images, labels = data.pixels(data.train.images), data.train.labels.clone()
    seen = images.clone()
    method.silence(net, seen, labels)
    if not torch.equal(seen, images) or not torch.equal(labels, data.train.labels):
        raise ViolationError("`silence` changed the data it was given")
    after = net.module.state_dict()
    if {k: v.shape for k, v in after.items()} != {k: v.shape for k, v in state.items()}:
        raise ViolationError(
            "`silence` changed the network's shape: set parameters to zero, the benchmark removes them"
        )
    buffers = {key for key, _ in net.module.named_buffers()}
    for key, before in state.items():
        if key in buffers and not torch.equal(before, after[key]):
            raise ViolationError(f"`silence` changed the statistic {key}: evaluate without training mode")


def gradients_stay_finite(name: str) -> None:
    """After training at the strong end every parameter and gradient is finite."""
    _, net, _ = _trained(name, SHORT)  # what is not finite only later ends the long training as diverged
    for key, parameter in net.module.named_parameters():
        for kind, tensor in (("parameter", parameter), ("gradient", parameter.grad)):
            if tensor is not None and not torch.isfinite(tensor).all():
                raise ViolationError(
                    f"the {kind} of {key} is not finite after training: guard divisions by a norm of zero"
                )


def survives_zero_strength(name: str) -> None:
    """With the knob at zero, where its domain has it, a trial runs and learns."""
    method = get_method(name)
    domain = method.space.get(method.knob)
    if isinstance(domain, Real) and domain.low == 0:
        found = _learned(name, 0.0)
        if found < LEARNS:
            raise ViolationError(f"with {method.knob} = 0 validation accuracy is {found:.2f}: zero must mean no effect")


def leaves_no_trace(name: str) -> None:
    """A trial leaves torch, the data and the process as it found them: other methods' trials run in it next."""
    room, trial = Room(), _trial(name, _ends(name)[0], REPEATED)
    base = _base(trial)
    room.enter(trial)
    run(trial, base)
    left = room.leave().changed
    if left:
        raise ViolationError(f"a trial changed {some(left)}: set nothing outside the method and its network")


def _trained(name: str, protocol: Protocol) -> tuple[Method, Net, Dataset]:
    """The method with the strongest knob and its network, trained, before it silences anything."""
    trial = _trial(name, _ends(name)[1], protocol)
    data = examples(trial)
    module = build(TASK.network, data.shape, data.classes, seed=trial.seed, widths=TASK.widths)
    net, method = find_groups(module, data.pixels(data.validation.images[:8])), make_method(trial.setting, trial.seed)
    first, last = trial.stages
    if trial.base is not None:
        net.module.load_state_dict(_base(trial)[0])
    if first < last:
        train(Course(net, data, trial.protocol, trial.seed), method, range(first, last))
    return method, net, data


CHECKS: dict[str, Callable[[str], None]] = {
    "metadata is complete": complete_metadata,
    "hyperparameters are validated": validated_hyperparameters,
    "learns the simulated task": learns,
    "the knob removes": knob_removes,
    "same seed, same result": same_seed_same_result,
    "goes on where it was broken off": resumes,
    "silence keeps shape, statistics and data": silence_keeps,
    "gradients stay finite": gradients_stay_finite,
    "survives zero strength": survives_zero_strength,
    "leaves no trace": leaves_no_trace,
}
