import pytest

import benchmark.method
from benchmark.method.interface import Method
from benchmark.removal.groups import Net


def test_all_that_adapters_may_import_is_there():
    for name in benchmark.method.__all__:
        assert getattr(benchmark.method, name) is not None
    assert benchmark.method.Method is Method
    assert benchmark.method.Net is Net


def test_what_adapters_may_not_import_is_not_there():
    with pytest.raises(ImportError, match="cannot import name 'get_method'"):
        from benchmark.method import get_method  # noqa: F401
