"""What a site writes, replaces and verifies among the files of others."""

import json
import os
import re

import pytest

from benchmark.experiment.study import load_study
from tests.site.test_build import contents
from tests.support.made_study import made_records, made_results, write_records


@pytest.mark.parametrize(
    ("change", "words"),
    [(lambda lines: [], "has no records"), (lambda lines: [*lines, "hello\n"], "is not a record")],
    ids=["none", "foreign"],
)
def test_what_cannot_be_published_leaves_nothing(deadweight, tmp_path, change, words):
    path, results = made_results(tmp_path)
    records = results / "made" / "records.jsonl"
    records.write_text("".join(change(records.read_text().splitlines(keepends=True))))
    code, _, err = deadweight("publish", path)
    assert (code, err.count("\n"), words in err) == (2, 1, True)
    assert f"results{os.sep}made{os.sep}records.jsonl" in err
    assert ".deadweight-" not in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["made.toml", "results"]


@pytest.mark.usefixtures("sketched")
def test_files_of_others_are_never_touched(deadweight, tmp_path):
    path, results = made_results(tmp_path)
    site = tmp_path / "site"
    site.mkdir()
    (site / "CNAME").write_text("mine")
    assert deadweight("publish", path)[0] == 0
    for name in ("index.html", "made/data/stability.csv"):
        before = (site / name).read_bytes()
        (site / name).write_bytes(b"mine")
        kept = contents(site)
        code, _, err = deadweight("publish", path)
        assert (code, err.count("\n"), f"{name} is in the way" in err) == (2, 1, True)
        assert contents(site) == kept
        (site / name).write_bytes(before)
    other = tmp_path / "other.toml"
    other.write_text(path.read_text())
    (results / "made").rename(results / "other")
    (site / "made" / "notes.txt").write_text("mine")
    assert deadweight("publish", other)[0] == 0
    assert sorted(name for name in contents(site) if not name.startswith("other/")) == [
        "CNAME", "assets/plotly.min.js", "data/verdict.csv", "index.html", "made/notes.txt", "manifest.json",
    ]  # fmt: skip
    assert deadweight("verify", "site")[0] == 0


@pytest.mark.usefixtures("sketched")
def test_the_records_are_never_taken_for_a_sites_files(deadweight, tmp_path):
    path, results = made_results(tmp_path)
    kept = contents(results)
    code, _, err = deadweight("publish", path, "--out", results)
    assert (code, err.count("\n"), "holds the records themselves" in err) == (2, 1, True)
    copy = tmp_path / "site" / "made" / "records.jsonl"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(kept["made/records.jsonl"])
    assert deadweight("publish", path)[0] == 2
    assert contents(results) == kept
    assert copy.exists()


@pytest.mark.parametrize("content", ["{}", "hello", '{"studies":[],"libraries":{},"files":{"../mine.txt":"0"}}'])
def test_a_foreign_manifest_is_refused(deadweight, tmp_path, content):
    path, _ = made_results(tmp_path)
    (tmp_path / "site").mkdir()
    (tmp_path / "site/manifest.json").write_text(content)
    code, _, err = deadweight("publish", path)
    assert (code, err.count("\n"), "manifest.json" in err) == (2, 1, True)
    assert contents(tmp_path / "site") == {"manifest.json": content.encode()}


@pytest.mark.usefixtures("sketched")
def test_a_stopped_replacement_is_completed(deadweight, tmp_path, monkeypatch):
    path, results = made_results(tmp_path)
    deadweight("publish", path)
    write_records(made_records(load_study(str(path)))[:-3], results / "made" / "records.jsonl")
    from benchmark.site import manifest

    moved = []

    def stop(made, target):
        if moved:
            raise KeyboardInterrupt
        moved.append(made.replace(target))

    with monkeypatch.context() as patch:
        patch.setattr(manifest, "_move", stop)
        assert deadweight("publish", path)[0] == 130
    assert deadweight("publish", path)[0] == 0
    assert deadweight("verify", "site")[0] == 0


@pytest.mark.usefixtures("sketched")
def test_verify_finds_what_was_changed(deadweight, tmp_path):
    path, _ = made_results(tmp_path)
    deadweight("publish", path)
    site, made = tmp_path / "site", contents(tmp_path / "site")

    def verify_with(name, old, new):
        content = made[name].decode()
        assert content.count(old) >= 1
        (site / name).write_text(content.replace(old, new, 1))
        code, out, _ = deadweight("verify", "site")
        (site / name).write_bytes(made[name])
        assert code == 1
        return out

    last = json.loads(made["made/records.jsonl"].splitlines()[-1])
    lines = made["made/records.jsonl"].decode().splitlines(keepends=True)
    (site / "made/records.jsonl").write_text(
        "".join([*lines[:-1], lines[-1].replace(f'"train_seconds": {last["train_seconds"]}', '"train_seconds": 99.0')])
    )
    code, out, _ = deadweight("verify", "site")
    (site / "made/records.jsonl").write_bytes(made["made/records.jsonl"])
    assert code == 1
    assert "made/records.jsonl was changed after it was published" in out
    assert re.search(r"made/data/trials.csv, row \d+, seconds: published [\d.]+, recomputed 101\b", out)
    out = verify_with("made/records.jsonl", '"seed": 0', '"seed": 7')
    assert "nothing can be recomputed: made/records.jsonl, line 1: its content does not have the key" in out
    mean = made["made/data/stability.csv"].decode().splitlines()[1].split(",")[6]
    assert f"made/data/stability.csv, row 2, mean: published 7, recomputed {mean}" in verify_with(
        "made/data/stability.csv", mean, "7"
    )
    row = made["made/data/table.csv"].decode().splitlines()[1]
    assert "made/data/table.csv, row 2: " in verify_with("made/data/table.csv", row, row + ",1")
    for name, words in {
        "made/index.html": "made/index.html differs from the page",
        "made/made.toml": "cannot be read",
        "assets/plotly.min.js": "is not the plotting library that its version is",
    }.items():
        (site / name).write_bytes(made[name] + b"\xff")
        code, out, _ = deadweight("verify", "site")
        (site / name).write_bytes(made[name])
        assert (code, f"{name} was changed" in out, words in out) == (1, True, True)
    assert "made/index.html differs from the page" in verify_with("made/index.html", "Made up", "Made so")


@pytest.mark.usefixtures("sketched")
def test_verify_finds_what_is_missing(deadweight, tmp_path):
    path, _ = made_results(tmp_path)
    deadweight("publish", path)
    site, made = tmp_path / "site", contents(tmp_path / "site")
    listed = json.loads(made["manifest.json"])
    del listed["files"]["made/data/table.csv"]
    (site / "manifest.json").write_text(json.dumps(listed))
    (site / "made/data/table.csv").unlink()
    assert "made/data/table.csv is not in manifest.json" in deadweight("verify", "site")[1]
    for name in ("manifest.json", "made/data/table.csv"):
        (site / name).write_bytes(made[name])
    (site / "made/made.toml").unlink()
    assert "made/made.toml is missing" in deadweight("verify", "site")[1]
    assert deadweight("verify", tmp_path / "results")[0] == 2


@pytest.mark.usefixtures("sketched")
def test_verify_knows_other_libraries_from_other_numbers(deadweight, tmp_path):
    path, _ = made_results(tmp_path)
    deadweight("publish", path)
    manifest = tmp_path / "site/manifest.json"
    content = json.loads(manifest.read_text())
    from benchmark.site.manifest import sha256

    pictures = [name for name in content["files"] if name.endswith(".svg")]
    assert len({name.split("/")[1] for name in pictures}) == 2  # of the page and for the paper
    for name in pictures:
        svg = tmp_path / "site" / name
        svg.write_text(svg.read_text() + "<!-- drawn otherwise -->")
        content["files"][name] = sha256(svg)
    content["libraries"]["pandas"] = "1.0"
    manifest.write_text(json.dumps(content))
    code, out, _ = deadweight("verify", "site")
    assert (code, all(f"{name} differs" in out for name in pictures)) == (1, True)
    content["libraries"]["matplotlib"] = "1.0"
    manifest.write_text(json.dumps(content))
    code, out, _ = deadweight("verify", "site")
    assert code == 0
    assert "made with matplotlib 1.0" in out
    assert "pictures were not compared" in out
