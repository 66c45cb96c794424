import re
from pathlib import Path

import pytest

import benchmark
from benchmark.errors import UsageError
from benchmark.method.registry import PACKAGES, registry
from benchmark.paper.references import bibliography, identifiers, known_entries

OWN = {n: m for n, m in registry().methods.items() if m.__module__.split(".")[0] in PACKAGES}
FIELD = re.compile(r"^  (\w+) = \{(.*)\},?$", re.MULTILINE)


def fields(entry):
    return dict(FIELD.findall(entry))


def test_every_method_of_the_suite_with_an_identifier_has_an_entry():
    entries = known_entries()
    named = {i for method in OWN.values() for i in identifiers(method.reference)}
    held = {fields(e).get(field) for e in entries.values() for field in ("eprint", "doi", "note")}
    assert len(named) >= 20
    assert named <= held
    for name, method in OWN.items():
        if identifiers(method.reference):
            assert "@misc{" + name not in bibliography([name])
            assert bibliography([name]).count("@") == len(identifiers(method.reference))


def test_every_entry_belongs_to_a_method_and_agrees_with_its_reference():
    """The first author and the year of an entry are those that the method's file says."""
    for key, entry in known_entries().items():
        mine = fields(entry)
        ids = {mine.get(field) for field in ("eprint", "doi", "note")} - {None}
        parts = [p for m in OWN.values() for p in m.reference.split(";") if ids & set(identifiers(p))]
        assert parts, key
        first = re.sub(r"[{}\\\"]", "", mine["author"].split(",")[0])
        for part in parts:
            assert part.split()[0] == first, (key, part)
            assert mine["year"] in part, (key, part)
        assert key.startswith(first.lower() + mine["year"])


def test_entries_are_whole():
    text = (Path(benchmark.__file__).parent / "paper" / "references.bib").read_text()
    entries = known_entries()
    assert len(entries) == text.count("@") == 27
    assert list(entries) == sorted(entries)
    for key, entry in entries.items():
        assert entry.count("{") == entry.count("}"), key
        assert {"author", "title", "year"} <= set(fields(entry)), key
        assert all(line.endswith(",") for line in entry.splitlines()[:-2]), key


def test_a_paper_of_two_methods_is_there_once_and_names_both():
    made = bibliography(["random_filter", "magnitude_filter", "dense"])
    assert made.count("@") == 1
    assert made.startswith("% Filter magnitude, Random filters\n@inproceedings{li2017pruning,")


def test_a_control_without_a_paper_has_no_entry():
    assert bibliography(["dense"]) == ""


def test_somebody_elses_method_gets_an_entry_of_its_reference(monkeypatch):
    theirs = type("Theirs", (), {"title": "Their_method", "reference": "Doe 2031, arXiv:3101.00001, 5 % better"})
    monkeypatch.setitem(registry().methods, "theirs", theirs)
    made = bibliography(["theirs", "implicit"])
    assert (
        "@misc{theirs,\n  title = {{Their\\_method}},\n  note = {Doe 2031, arXiv:3101.00001, 5 \\% better}\n}" in made
    )
    assert "@inproceedings{yaguchi2018adam," in made
    assert made.count("{") == made.count("}")


def test_an_unknown_method_is_named():
    with pytest.raises(UsageError, match="did you mean 'implicit'"):
        bibliography(["implicti"])
