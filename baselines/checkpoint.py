"""The control of a task with a checkpoint: the network as it came, neither trained on nor reduced.

Rule: nothing is trained, nothing silenced. Beside `dense`, which is that network trained on for the study's epochs, it
says what training on alone gains or loses. On a task without a checkpoint it is the dense network. It has no
hyperparameter, so it is measured once a seed: seeds differ in their splits alone.
"""

from benchmark.method import Method


class Checkpoint(Method):
    """A trained network, as it is."""

    title = "Checkpoint"
    reference = "control"
    knob = None
    space = {}
    base = "dense"
