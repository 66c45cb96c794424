"""What `deadweight new` writes."""

import ast

import pytest

from benchmark.errors import UsageError
from benchmark.method.authoring import new_method, new_package


def imported(path):
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.module for node in nodes if isinstance(node, ast.ImportFrom)}


def test_a_package_of_its_own_imports_from_the_public_module(tmp_path):
    assert imported(new_package("a_method", tmp_path) / "src" / "a_method.py") == {"torch", "deadweight"}


def test_a_file_of_this_checkout_imports_from_the_adapters_address(tmp_path):
    assert imported(new_method("a_method", tmp_path)) == {"torch", "benchmark.method"}


@pytest.mark.parametrize("name", ["torch", "json", "benchmark", "methods"])
def test_a_package_does_not_take_the_name_of_another(tmp_path, name):
    with pytest.raises(UsageError, match=f"there is a Python package '{name}' already"):
        new_package(name, tmp_path)
    assert list(tmp_path.iterdir()) == []
