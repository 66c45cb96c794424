import pytest

from benchmark.removal.groups import Net
from tests.methods.test_methods import Residual, build, plain


@pytest.fixture(params=[Residual, plain], ids=["residual", "plain"])
def net(request) -> Net:
    return build(request.param)
