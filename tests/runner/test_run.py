"""A study's folder is held by one run, and whatever its disk says is one line."""

import errno
import fcntl
import os

import filelock
import pytest

from benchmark.errors import UsageError
from benchmark.experiment.brought import NOTE
from benchmark.runner.run import locked


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EIO, errno.ESTALE, errno.ENOSYS, errno.EROFS])
def test_a_disk_that_gives_no_lock_is_named(number, tmp_path, monkeypatch):
    def flock(*arguments):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UsageError, match=r"cannot be locked: .*; choose another$") as caught, locked(tmp_path):
        pass
    assert "\n" not in str(caught.value)
    assert os.strerror(number) in str(caught.value)


def test_a_folder_that_another_run_holds_is_not_taken(tmp_path):
    held, words = filelock.FileLock(tmp_path / ".lock"), "another run is writing"
    with held, pytest.raises(UsageError, match=words), locked(tmp_path):
        pass


def test_what_goes_wrong_while_the_folder_is_held_is_not_the_locks(tmp_path):
    with pytest.raises(PermissionError, match="own"), locked(tmp_path):
        raise PermissionError("own")
    with locked(tmp_path):
        pass


def test_a_folder_in_which_nothing_came_to_be_goes_with_those_made_for_it(tmp_path):
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine" / "results" / "a"):
        (tmp_path / "mine" / "results" / "a" / NOTE).touch()
    assert not (tmp_path / "mine" / "results").exists()
    assert (tmp_path / "mine").is_dir()
    for name in ("a", "b"):
        with locked(tmp_path / "mine" / name):
            (tmp_path / "mine" / name / "records.jsonl").touch()
    with locked(tmp_path / "mine" / "a"):
        (tmp_path / "mine" / "a" / "records.jsonl").unlink()
    assert (tmp_path / "mine" / "a").is_dir()  # it was there before
    assert (tmp_path / "mine" / "b" / "records.jsonl").exists()
