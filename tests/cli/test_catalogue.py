"""`list` shows what a task can name."""

import json


def test_networks_and_datasets_are_listed_with_how_to_bring_one(deadweight):
    code, out, _ = deadweight("list", "networks")
    assert code == 0
    assert "torchvision:resnet18" in out
    assert "built in: mlp, " in out
    assert "timm" in out
    assert "FILE.py:FUNCTION" in out
    code, out, _ = deadweight("list", "datasets")
    assert code == 0
    assert "npz:FILE: arrays: x_train, y_train" in out
    assert "mnist: `deadweight data mnist` downloads it" in out


def test_both_are_there_for_other_programs(deadweight):
    networks = json.loads(deadweight("list", "networks", "--json")[1])
    assert networks["built in"][0] == "mlp"
    assert json.loads(deadweight("list", "datasets", "--json")[1])["digits"] == "needs no files"
