import hashlib
import multiprocessing
import os
import pickle
import shutil
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from benchmark.data import names, stored
from benchmark.data.load import load
from benchmark.errors import UsageError
from benchmark.experiment.trial import Task
from tests.support.made_data import compress, idx, loaded, make_images, make_mnist, problem


def rows(split):
    return {image.numpy().tobytes() for image in split.images}


@pytest.mark.parametrize(
    ("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST"), ("kmnist", "KMNIST")]
)
def test_mnist_and_its_likes_keep_their_test_set_and_validate_on_a_share_of_the_rest(tmp_path, name, folder):
    make_mnist(tmp_path, folder=folder)
    data = loaded(name, tmp_path)
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [48, 12, 20]
    assert (data.shape, data.classes, data.scale, data.mean) == ((1, 28, 28), 10, 255.0, None)
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.dtype == torch.int64
    assert data.test.labels.tolist() == [i % 10 for i in range(20)]
    assert len(rows(data.train) | rows(data.validation) | rows(data.test)) == 80
    assert torch.bincount(data.train.labels).max() <= 5
    assert rows(loaded(name, tmp_path, seed=1).validation) != rows(data.validation)
    assert rows(loaded(name, tmp_path, seed=1).test) == rows(data.test)


def test_all_splits_of_a_stored_dataset_share_its_images_and_its_content(tmp_path):
    make_mnist(tmp_path)
    one, other = (load("mnist", 0.2, 0.2, seed, tmp_path, 0) for seed in (1, 2))
    assert one.train.pool.data_ptr() == other.train.pool.data_ptr() == other.test.pool.data_ptr()
    assert one.content == other.content
    assert rows(one.validation) != rows(other.validation)
    assert rows(one.test) == rows(other.test)


def test_an_image_folder_keeps_one_test_set_while_each_seed_divides_the_rest(tmp_path):
    make_images(tmp_path / "pictures", ["a", "b"], count=20)
    first, other, apart = (
        loaded("imagefolder:pictures", tmp_path, seed=seed, test_seed=test) for seed, test in ((0, 0), (5, 0), (5, 5))
    )
    assert rows(first.test) == rows(other.test) != rows(apart.test)
    assert rows(first.validation) != rows(other.validation)
    assert rows(first.train) | rows(first.validation) == rows(other.train) | rows(other.validation)
    assert first.content == other.content


def pickled(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("name", "key", "classes"), [("cifar10", "labels", 10), ("cifar100", "fine_labels", 100)])
def test_cifar_is_read_and_its_checksums_are_checked(tmp_path, monkeypatch, name, key, classes):
    kind = getattr(stored._datasets(), stored.TORCHVISION[name])
    images = np.random.default_rng(0).integers(0, 256, (200, 3072), dtype=np.uint8)
    batch = {"data": images, key: [i % classes for i in range(200)]}
    folder = tmp_path / kind.base_folder
    monkeypatch.setattr(kind, "train_list", [["a", pickled(folder / "a", batch)], ["b", pickled(folder / "b", batch)]])
    monkeypatch.setattr(kind, "test_list", [["c", pickled(folder / "c", batch)]])
    meta = {"filename": "m", "key": "names", "md5": pickled(folder / "m", {"names": ["x"] * classes})}
    monkeypatch.setattr(kind, "meta", meta)
    data = loaded(name, tmp_path, validation=0.5)
    assert (data.shape, data.classes, len(data.train.labels)) == ((3, 32, 32), classes, 200)
    assert torch.equal(data.test.images, torch.from_numpy(images).view(-1, 3, 32, 32))
    (folder / "b").write_bytes((folder / "b").read_bytes()[:-100])
    shutil.rmtree(tmp_path / "cache")
    message = problem(name, tmp_path)
    assert f"remove {folder}, then `deadweight data {name} --data-root {tmp_path}`" in message


def test_svhn_is_read(tmp_path, monkeypatch):
    kind = stored._datasets().SVHN
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 40), dtype=np.uint8)
    listed = {}
    for split in ("train", "test"):
        savemat(tmp_path / f"{split}.mat", {"X": images, "y": np.arange(40)[:, None] % 10 + 1})
        digest = hashlib.md5((tmp_path / f"{split}.mat").read_bytes()).hexdigest()
        listed[split] = ["http://nowhere.invalid", f"{split}.mat", digest]
    monkeypatch.setattr(kind, "split_list", listed)
    data = loaded("svhn", tmp_path, validation=0.5)
    assert data.test.labels.tolist() == [(i + 1) % 10 for i in range(40)]
    assert torch.equal(data.test.images[3], torch.from_numpy(images[:, :, :, 3]).permute(2, 0, 1))


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1)])
def test_image_folder_with_its_own_test_set(tmp_path, mode, channels):
    make_images(tmp_path / "own" / "train", mode=mode)
    make_images(tmp_path / "own" / "test", count=3, mode=mode)
    data = loaded(f"imagefolder:{tmp_path}/own", tmp_path)
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [16, 4, 6]
    assert data.shape == (channels, 8, 9)
    first = np.array(Image.open(tmp_path / "own" / "test" / "cat" / "00.png"))
    assert torch.equal(data.test.images[0], torch.from_numpy(first.reshape(8, 9, channels)).permute(2, 0, 1))


def test_image_folder_is_split_by_seed_and_relative_to_the_data_root(tmp_path):
    make_images(tmp_path / "own", classes=("a", "b", "c"))
    data = loaded("imagefolder:own", tmp_path)
    assert [len(split.labels) for split in (data.train, data.validation, data.test)] == [18, 6, 6]
    for split in (data.train, data.validation, data.test):
        assert len(torch.bincount(split.labels).unique()) == 1
    assert len(rows(data.train) | rows(data.validation) | rows(data.test)) == 30
    assert rows(loaded("imagefolder:own", tmp_path, seed=1).test) != rows(data.test)


def test_shares_are_of_all_samples_and_classes_keep_their_proportions(tmp_path):
    make_images(tmp_path / "images", classes=("cat",), count=60)
    make_images(tmp_path / "images", classes=("dog",), count=20)
    data = loaded("imagefolder:images", tmp_path, validation=0.3, test=0.1)
    counts = [torch.bincount(s.labels).tolist() for s in (data.train, data.validation, data.test)]
    assert counts == [[36, 12], [18, 6], [6, 2]]


def test_colour_is_standardised_by_the_training_pixels(tmp_path):
    make_images(tmp_path / "own")
    data = loaded("imagefolder:own", tmp_path)
    pixels = data.pixels(data.train.images)
    assert pixels.mean((0, 2, 3)).abs().max() < 1e-5
    assert (pixels.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_the_cache_is_used_until_its_source_changes(tmp_path, monkeypatch):
    raw = make_mnist(tmp_path)
    before = loaded("mnist", tmp_path)
    monkeypatch.setattr(stored, "_parts", None)  # a second decoding would fail
    assert torch.equal(loaded("mnist", tmp_path).test.images, before.test.images)
    monkeypatch.undo()
    (raw / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((20, 28, 28), dtype=np.uint8)))
    assert loaded("mnist", tmp_path).test.images.max() == 0
    assert before.test.images.max() > 0  # who has mapped the old file goes on with it
    assert len(list((tmp_path / "cache" / "mnist").iterdir())) == 1


def test_a_damaged_cache_is_made_again(tmp_path):
    make_mnist(tmp_path)
    before = loaded("mnist", tmp_path).train.images
    (file,) = tmp_path.glob("cache/mnist/*/images.npy")
    file.write_bytes(file.read_bytes()[:-1000])
    assert torch.equal(loaded("mnist", tmp_path).train.images, before)


@pytest.mark.parametrize("damage", [lambda content: content[:-100], lambda content: b"PK" + bytes(len(content))])
def test_damaged_labels_of_a_cache_are_made_again(tmp_path, damage):
    make_mnist(tmp_path)
    before = loaded("mnist", tmp_path).train.labels
    (file,) = tmp_path.glob("cache/mnist/*/samples.npz")
    file.write_bytes(damage(file.read_bytes()))
    assert torch.equal(loaded("mnist", tmp_path).train.labels, before)


def test_contents_are_told_apart_whatever_the_files_are_called(tmp_path):
    for name in ("one", "same", "other"):
        make_mnist(tmp_path / name)
    raw = next((tmp_path / "other").rglob("t10k-labels-idx1-ubyte"))
    labels = bytearray(raw.read_bytes())
    labels[-1] = (labels[-1] + 1) % 10
    raw.write_bytes(bytes(labels))
    one, same, other = (loaded("mnist", tmp_path / name).content for name in ("one", "same", "other"))
    assert one == same != other


def test_an_interrupted_build_leaves_nothing_that_is_taken_for_a_cache(tmp_path, monkeypatch):
    make_images(tmp_path / "own")
    original, calls = stored.imagefolder.Images.__getitem__, []

    def interrupted(self, index):
        calls.append(index)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return original(self, index)

    monkeypatch.setattr(stored.imagefolder.Images, "__getitem__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        loaded("imagefolder:own", tmp_path)
    (folder,) = (path for path in tmp_path.glob("cache/*") if path.is_dir())
    assert list(folder.iterdir()) == []
    (folder / ".partial-killed").mkdir()  # what a process leaves that was killed
    assert len(loaded("imagefolder:own", tmp_path).train.labels) == 12
    assert len(list(folder.iterdir())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_processes_that_start_together_make_one_cache(tmp_path, monkeypatch):
    make_mnist(tmp_path)
    (tmp_path / "decodings").mkdir()
    original = stored._parts

    def noted(*arguments, **options):
        (tmp_path / "decodings" / str(os.getpid())).touch()
        time.sleep(0.5)  # so that the others come while this one decodes
        return original(*arguments, **options)

    monkeypatch.setattr(stored, "_parts", noted)
    context = multiprocessing.get_context("fork")
    together = context.Barrier(4)

    def work():
        together.wait(timeout=60)
        loaded("mnist", tmp_path)

    started = [context.Process(target=work) for _ in range(4)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * 4
    assert len(list((tmp_path / "decodings").iterdir())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of mappings")
def test_images_are_the_mapped_file_and_writing_to_them_leaves_it(tmp_path):
    make_mnist(tmp_path)
    data = loaded("mnist", tmp_path)
    assert data.train.pool.data_ptr() == data.test.pool.data_ptr()
    maps = Path("/proc/self/maps").read_text().splitlines()
    assert any(str(tmp_path) in line and "images.npy" in line for line in maps)
    data.train.pool.zero_()
    assert loaded("mnist", tmp_path).train.images.max() > 0


@pytest.fixture
def mirror(tmp_path):
    """The address of a server on this machine that serves tmp_path/mirror."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "mirror")) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_download_takes_whole_archives_and_refuses_others(tmp_path, monkeypatch, mirror):
    raw = make_mnist(tmp_path)
    archives = compress(raw)
    sums = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in archives.values()]
    monkeypatch.setattr(stored._datasets().MNIST, "resources", sums)
    monkeypatch.setattr(stored._datasets().MNIST, "mirrors", [f"{mirror}/"])
    shutil.copytree(raw, tmp_path / "mirror")
    half = archives["train-images-idx3-ubyte"]
    half.write_bytes(half.read_bytes()[:1000])
    stored.download("mnist", tmp_path)
    assert len(loaded("mnist", tmp_path).test.labels) == 20
    shutil.rmtree(raw)
    (tmp_path / "mirror" / half.name).write_bytes(b"something else")
    with pytest.raises(UsageError, match=r"could not be downloaded to .*File not found or corrupted") as caught:
        stored.download("mnist", tmp_path)
    assert "\n" not in str(caught.value)
    assert not (raw / "train-images-idx3-ubyte").exists()


@pytest.mark.parametrize("path", ["/data/my cats", "../cats", "a/b/", "/", "größe", r"C:\cats"])
def test_tasks_of_image_folders_have_names_that_files_can_have(path):
    name = Task(dataset=f"imagefolder:{path}", network="mlp").name
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.")
    assert name.startswith("imagefolder-")
    assert name != Task(dataset=f"imagefolder:/other{path}", network="mlp").name


def test_data_root_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(names.ENVIRONMENT, raising=False)
    assert names.data_root() == tmp_path / "data"
    monkeypatch.setenv(names.ENVIRONMENT, "elsewhere")
    assert names.data_root() == tmp_path / "elsewhere"
