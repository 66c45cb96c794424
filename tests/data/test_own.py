"""Arrays of the user's own: vectors, signals and images, as they are; what is none of these is one line."""

import multiprocessing

import numpy as np
import pytest
import torch

from benchmark import own_files
from benchmark.data import names, stored
from benchmark.data.load import decode, load
from benchmark.errors import UsageError
from tests.support.made_data import loaded, problem

GENERATOR = np.random.default_rng(0)


def samples(*shape, count=40, kind=np.float32):
    values = GENERATOR.normal(size=(count, *shape)).astype(np.float32)
    return values if kind is np.float32 else GENERATOR.integers(0, 256, values.shape).astype(kind)


def labels(count=40, classes=4):
    return np.arange(count) % classes


@pytest.fixture
def arrays(tmp_path):
    """Writes a file of arrays, and makes it known as a study in its folder would."""

    def write(**content):
        np.savez(tmp_path / "mine.npz", **content)
        names.look_up("npz:mine.npz", tmp_path)
        return "npz:mine.npz"

    return write


@pytest.fixture
def function(tmp_path):
    """Writes a file with the function `load`, and makes it known."""

    def write(text):
        (tmp_path / "mine.py").write_text(text)
        names.look_up("mine.py:load", tmp_path)
        return "mine.py:load"

    return write


@pytest.mark.parametrize("shape", [(5,), (2, 9), (1, 6, 6), (3, 6, 6)])
@pytest.mark.parametrize("own_test", [True, False])
def test_floats_of_any_shape_are_given_to_the_network_as_they_are(arrays, tmp_path, shape, own_test):
    x, y = samples(*shape), labels()
    test = {"x_test": samples(*shape, count=8), "y_test": labels(8)} if own_test else {}
    data = loaded(arrays(x_train=x, y_train=y, **test), tmp_path / "root")
    assert (data.shape, data.classes, data.scale, data.mean) == (shape, 4, 1.0, None)
    assert [len(s.labels) for s in (data.train, data.validation, data.test)] == ([32, 8, 8] if own_test else [24, 8, 8])
    before = data.train.images.clone()
    assert torch.equal(data.pixels(data.train.images), before)
    for _ in range(2):
        list(data.batches(8, 0, 0))
    data.pixels(data.train.pool).zero_()  # the pool itself is never what a network, or a method, may change
    assert torch.equal(data.train.images, before)
    if own_test:
        assert torch.equal(data.test.images, torch.from_numpy(test["x_test"]))


def test_pixels_of_uint8_are_treated_as_those_of_every_dataset(arrays, tmp_path):
    data = loaded(arrays(x_train=samples(3, 6, 6, kind=np.uint8), y_train=labels()), tmp_path / "root")
    assert (data.scale, data.mean.shape, data.train.pool.dtype) == (255.0, (3, 1, 1), torch.uint8)
    assert data.pixels(data.train.images).mean().abs() < 1e-5
    data = loaded(arrays(x_train=samples(7, kind=np.uint8), y_train=labels()), tmp_path / "root")
    assert (data.scale, data.mean, data.pixels(data.train.images).max().item() <= 1) == (255.0, None, True)


@pytest.mark.parametrize("kind", [np.float64, np.float16, ">f4"])
def test_other_floats_become_those_of_a_network(arrays, tmp_path, kind):
    data = loaded(arrays(x_train=samples(5).astype(kind), y_train=labels().astype(np.uint8)), tmp_path / "root")
    assert (data.train.pool.dtype, data.train.labels.dtype) == (torch.float32, torch.int64)


def test_the_content_is_of_numbers_shape_and_type(arrays, tmp_path):
    x, y = samples(12), labels()
    contents = [
        loaded(arrays(x_train=values, y_train=marks), tmp_path / "root").content
        for values, marks in (
            (x, y), (x.reshape(-1, 3, 4), y), (x + 1, y), (x, y[::-1]), (x.view(np.uint8), y), (x.astype(float), y),
        )
    ]  # fmt: skip
    assert len(set(contents[:5])) == 5
    assert contents[5] == contents[0]


NAN = samples(1, 6, 6)
NAN[3, 0, 2, 2] = np.nan
GOOD = {"x_train": samples(5), "y_train": labels()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"x": GOOD["x_train"], "y": GOOD["y_train"]}, "has x, y; it needs x_train and y_train, and may have x_test"),
        ({"x_train": GOOD["x_train"]}, "has x_train; it needs"),
        ({**GOOD, "x_test": samples(5, count=8)}, "has x_test, x_train, y_train; it needs"),
        ({**GOOD, "x_train": np.array([{"a": 1}] * 40)}, "is no file of arrays: it holds objects, not numbers"),
        ({**GOOD, "y_train": np.array(["a"] * 40, dtype=object)}, "it holds objects, not numbers"),
        ({**GOOD, "x_train": NAN}, "x_train has numbers that are not finite, first in sample 3"),
        ({**GOOD, "x_train": samples(5).astype(float) * 1e300}, "numbers that are not finite, first in sample 0"),
        (
            {**GOOD, "x_train": samples(1, 6, 6, kind=np.uint8).astype(np.float32)},
            "images of floats up to 255; they are",
        ),
        ({**GOOD, "x_train": samples(5).astype(np.int64)}, "x_train is of int64; give uint8 for pixels, else float32"),
        ({**GOOD, "x_train": samples(5) * 1j}, "x_train is of complex64"),
        ({**GOOD, "x_train": samples()}, r"x_train has the shape (40,); vectors are N × F"),
        ({**GOOD, "x_train": samples(1, 2, 3, 4)}, "x_train has the shape (40, 1, 2, 3, 4); vectors"),
        ({**GOOD, "x_train": samples(0)}, "x_train is empty, its shape is (40, 0)"),
        ({**GOOD, "x_train": samples(8, 8, 3)}, "channels last"),
        ({**GOOD, "y_train": labels(39)}, "x_train has 40 samples, y_train 39 labels"),
        ({**GOOD, "y_train": labels() * 0}, "has one class only: every label of y_train is 0"),
        ({**GOOD, "y_train": labels() - 1}, "has the label -1; classes are numbered from 0"),
        ({**GOOD, "y_train": labels() * 10**9}, "more classes than samples"),
        ({**GOOD, "y_train": labels().astype(float)}, "y_train is of float64, shape (40,); labels are whole numbers"),
        ({**GOOD, "y_train": np.eye(40, dtype=int)}, "shape (40, 40); labels are whole numbers, one a sample"),
        ({**GOOD, "y_train": np.arange(40)}, "cannot be split by class"),
        ({**GOOD, "x_test": samples(6, count=8), "y_test": labels(8)}, "x_test has another shape or type than x_train"),
        ({**GOOD, "x_test": samples(5, count=8, kind=np.uint8), "y_test": labels(8)}, "another shape or type"),
        (
            {**GOOD, "x_test": samples(5, count=8), "y_test": labels(8, 5)},
            "y_test has the label 4, and y_train none above 3",
        ),
    ],
)
def test_arrays_that_are_no_dataset_are_one_line(arrays, tmp_path, content, words):
    name = arrays(**content)
    with pytest.raises(UsageError) as caught:
        loaded(name, tmp_path / "root")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no file of arrays"),
        (b"PK\x03\x04 cut", "is no file of arrays"),
        (b"\x80\x04\x95 a pickle", "it holds objects, not numbers"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_is_none_of_arrays_is_one_line(arrays, tmp_path, content, words):
    name = arrays(**GOOD)
    (tmp_path / "mine.npz").unlink() if content is None else (tmp_path / "mine.npz").write_bytes(content)
    assert words in problem(name, tmp_path / "root")
    np.save(tmp_path / "one.npy", samples(5))
    (tmp_path / "one.npy").rename(tmp_path / "mine.npz")
    assert "holds one array" in problem(name, tmp_path / "root")


LOAD = """
import numpy as np
def load():
    x = np.linspace(0, 1, 200, dtype=np.float32).reshape(40, 5)
    return {"x_train": x, "y_train": np.arange(40) % 4}
"""


def test_a_function_gives_the_same_arrays_as_a_file(function, arrays, tmp_path):
    data = loaded(function(LOAD), tmp_path / "root")
    x = np.linspace(0, 1, 200, dtype=np.float32).reshape(40, 5)
    assert data.content == loaded(arrays(x_train=x, y_train=labels()), tmp_path / "root").content
    tensors = LOAD.replace("import numpy as np", "import numpy as np, torch").replace("x, ", "torch.tensor(x), ")
    assert loaded(function(tensors), tmp_path / "root").content == data.content


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("load = 3", "mine.py:load is a int, not a function"),
        ("def load(): raise OSError('no\\nsuch disk')", "mine.py:load fails: OSError: no (mine.py:1)"),
        ("def load(root): pass", "missing 1 required positional argument: 'root'"),
        ("def load(): return 1, 2", "returns a tuple, not a dict with x_train and y_train"),
        ("def load(): return {'x_train': [[1], [1, 2]], 'y_train': [0, 1]}", "returns what is no array"),
        ("def load(): return {'x_train': [[1.0], [2.0]], 'y_train': [0, None]}", "y_train is of object"),
    ],
)
def test_a_function_that_loads_nothing_is_one_line(function, tmp_path, text, words):
    assert words in problem(function(text), tmp_path / "root")


def _elsewhere(name, root, known):
    """What a worker process reads: its content, or why there is none."""
    own_files.KNOWN.update(known)
    try:
        return stored.read(name, root).content
    except UsageError as error:
        return str(error)


COUNTS = """
import numpy as np
from pathlib import Path

def load():
    calls = Path(CALLS)
    calls.write_text(calls.read_text() + ".")
    x = np.full((40, 5), len(calls.read_text()), dtype=np.float32)
    return {"x_train": x, "y_train": np.arange(40) % 4}
"""


def test_a_worker_reads_what_the_driver_loaded_and_notices_other_data(function, tmp_path):
    """The function is called here and not there; without the driver's cache it is, and its other data are refused."""
    calls = tmp_path / "calls"
    calls.touch()
    name = function(COUNTS.replace("CALLS", repr(str(calls))))
    content = loaded(name, tmp_path / "root").content
    known = dict(own_files.KNOWN)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_elsewhere, (name, tmp_path / "root", known)) == content
        assert calls.read_text() == "."
        found = pool.apply(_elsewhere, (name, tmp_path / "another", known))
    assert found == f"{name} gives other data than it gave when the run began"


def test_arrays_that_change_between_driver_and_worker_are_noticed(arrays, tmp_path):
    name = arrays(**GOOD)
    decode.cache_clear()
    load.cache_clear()
    stored.read(name, tmp_path / "root")
    np.savez(tmp_path / "mine.npz", x_train=GOOD["x_train"] + 1, y_train=GOOD["y_train"])
    with pytest.raises(UsageError, match="gives other data than it gave when the run began"):
        stored.read(name, tmp_path / "root")


def test_a_sample_of_what_lies_class_by_class_is_mixed(arrays, tmp_path):
    x, y = samples(5, count=200), labels(200)
    data = loaded(arrays(x_train=x[np.argsort(y)], y_train=np.sort(y)), tmp_path / "root")
    assert data.train.part(40).labels[:10].unique().tolist() == [0]
    found, again = data.sample(40), data.sample(40)
    assert found.labels[:10].unique().tolist() == [0, 1, 2, 3]
    assert torch.equal(found.pool, again.pool)

    def pairs(split):
        return sorted(zip(split.pool.tolist(), split.labels.tolist(), strict=True))

    assert pairs(found) == pairs(data.train.part(40))
