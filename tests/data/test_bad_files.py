"""What is missing, damaged or odd among a dataset's files is one clear line."""

import shutil
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from benchmark.data import stored
from benchmark.errors import UsageError
from benchmark.experiment.trial import Task
from tests.support.made_data import idx, loaded, make_images, make_mnist, problem


def png_head(width, height):
    """The start of a PNG that claims a size."""
    chunks = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"")
    sized = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(sized)


def test_a_missing_dataset_is_answered_with_the_command_that_gets_it(tmp_path):
    for name in stored.TORCHVISION:
        message = problem(name, tmp_path)
        assert f"`deadweight data {name} --data-root {tmp_path}`" in message
    assert f"image folder {tmp_path / 'none'} does not exist" in problem("imagefolder:none", tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("train-images-idx3-ubyte", lambda old: old[:-500], "corrupt"),
        ("train-images-idx3-ubyte", lambda old: b"", "corrupt"),
        ("train-images-idx3-ubyte", lambda old: b"<html>not found</html>", "corrupt"),
        ("t10k-labels-idx1-ubyte", lambda old: old[:-3], "corrupt"),
        ("t10k-labels-idx1-ubyte", lambda old: idx(np.arange(19, dtype=np.uint8) % 10), "20 test images but 19 labels"),
        ("t10k-labels-idx1-ubyte", lambda old: idx(np.arange(20, dtype=np.uint8)), "label 10, out of the range 0 to 9"),
    ],
)
def test_a_bad_file_is_one_clear_line(tmp_path, file, content, words):
    path = make_mnist(tmp_path) / file
    path.write_bytes(content(path.read_bytes()))
    message = problem("mnist", tmp_path)
    assert words in message
    if words == "corrupt":
        assert f"remove {path.parent}, then `deadweight data mnist" in message


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda own: shutil.rmtree(own / "dog"), "one class only: cat"),
        (lambda own: [shutil.rmtree(own / name) for name in ("cat", "dog")], "Couldn't find any class folder"),
        (lambda own: [path.unlink() for path in (own / "dog").iterdir()], "Found no valid file for the classes dog"),
        (lambda own: (own / "cat" / "03.png").write_bytes(b"not an image"), "cannot read the image"),
        (lambda own: (own / "cat" / "03.png").write_bytes((own / "cat" / "03.png").read_bytes()[:150]), "03.png"),
        (lambda own: Image.new("RGB", (8, 8)).save(own / "dog" / "05.png"), "05.png has 8 × 8 pixels"),
        (lambda own: (own / "dog" / "05.png").write_bytes(png_head(20_000, 20_000)), "05.png: Image size"),
        (lambda own: Image.new("I;16", (9, 8)).save(own / "dog" / "05.png"), "pixels of mode I;16"),
        (lambda own: (own / "train").mkdir(), "has train/ but not test/"),
        (lambda own: [path.unlink() for path in list((own / "dog").iterdir())[1:]], "cannot be split by class"),
    ],
)
def test_a_bad_image_folder_is_one_clear_line(tmp_path, spoil, words):
    spoil(make_images(tmp_path / "own"))
    if words == "cannot be split by class":  # the images themselves are good: their cache may stay
        with pytest.raises(UsageError, match=words):
            loaded("imagefolder:own", tmp_path)
    else:
        assert words in problem("imagefolder:own", tmp_path)


def test_train_and_test_have_the_same_classes(tmp_path):
    make_images(tmp_path / "own" / "train")
    make_images(tmp_path / "own" / "test", classes=("cat", "dog", "eel"))
    assert "'eel' is in only one of train/ and test/" in problem("imagefolder:own", tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files as Linux does")
def test_no_room_for_the_cache_is_one_clear_line(tmp_path):
    import resource

    make_mnist(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        message = problem("mnist", tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert f"cannot write the cache of mnist to {tmp_path / 'cache' / 'mnist'}: File too large" in message


def test_a_cache_folder_that_is_a_file_is_one_clear_line(tmp_path):
    make_mnist(tmp_path)
    (tmp_path / "cache").write_text("")
    assert "cannot write the cache of mnist" in problem("mnist", tmp_path)


def test_image_folder_needs_a_path():
    with pytest.raises(UsageError, match="did you mean 'imagefolder:PATH'"):
        Task(dataset="imagefolder:", network="mlp")
