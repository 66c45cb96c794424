import re

import pytest

from benchmark.errors import UsageError
from benchmark.method import Choice, Method, Real, Text, Threshold
from benchmark.method.registry import Registry, check_metadata, get_method, registry


def make(**fields):
    base = {
        "__doc__": "Card.",
        "title": "T",
        "reference": "R",
        "knob": "k",
        "space": {"k": Real(1.0, 0, 2, grid=(1.0, 2.0))},
    }
    return type("Made", (Method,), {**base, **fields})


def test_a_sound_method_is_accepted():
    check_metadata(make())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"title": None}, "title"),
        ({"space": []}, "space"),
        ({"knob": "strength"}, "knob 'strength' is not a key of its space"),
        ({"space": {"k": 1.0}}, "no Real, Choice or Text"),
        ({"space": {"k": Real(3.0, 0, 2)}}, "k = 3.0 is not a number from 0 to 2"),
        ({"space": {"k": Real(1.0, 0, 2, grid=(5.0,))}}, "5.0"),
        ({"space": {"k": Real(1, 0, 2), "silence": Choice("a", ("a",))}}, "part of the interface"),
    ],
)
def test_unsound_metadata_is_named(fields, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        check_metadata(make(**fields))


def test_broken_entry_points_leave_the_others(faulty_methods):
    found = registry()
    assert "raises" in found.methods
    assert "dense" in found.methods
    assert found.methods["dense"].__module__ == "baselines.dense"
    assert "No module named 'no_such_module'" in found.broken["nowhere"]
    assert "its name is taken by baselines.dense" in found.broken["dense (faulty:Raises)"]


def test_unknown_method_gets_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'implicit'"):
        get_method("implicitt")


def test_duplicate_is_broken_not_replaced():
    found = Registry()
    first, second = make(), make()
    found.add("m", first, "one")
    found.add("m", second, "two")
    assert found.methods == {"m": first}
    assert "m (two)" in found.broken


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, "1", None, -1, 3])
def test_real_refuses(value):
    with pytest.raises(ValueError, match="is not a number from 0 to 2"):
        Real(1.0, 0, 2).validate(value)


@pytest.mark.parametrize("value", ["", "184", "16-30-64"])
def test_text_takes_what_its_pattern_describes(value):
    assert Text("", r"(\d+(-\d+)*)?").validate(value) == value


@pytest.mark.parametrize("value", ["16-", "-3", "a", "16, 30", "184\n", 184, None])
def test_text_refuses_all_else(value):
    with pytest.raises(ValueError, match="is not of the form"):
        Text("", r"(\d+(-\d+)*)?").validate(value)


def test_a_threshold_is_a_number_from_0_to_1000_or_the_rule():
    domain = Threshold(1e-3)
    assert [domain.validate(value) for value in (0, 1e-15, 1000, "within 0.1")] == [0.0, 1e-15, 1000.0, "within 0.1"]
    assert domain == Threshold(1e-3, 0.0, 1000.0, log=True)
    for wrong in (-0.1, 1001, "rule", None, True):
        with pytest.raises(ValueError, match=r"is not a number from 0 to 1000, nor \"within 0.1\""):
            domain.validate(wrong)


def test_broken_files_leave_the_others_and_say_where(tmp_path, monkeypatch):
    package = tmp_path / "some_adapters"
    package.mkdir()
    sound = (
        "'''Card.'''\nfrom benchmark.method import Method, training\nclass M(Method):\n    title = reference = 'M'\n"
    )
    files = {
        "__init__": "",
        "sound": sound + "    knob = None\n    space = training('sgd', 0.1)\n",
        "syntax": "def broken(:\n",
        "missing": sound + "    knob = None\n",
        "no_knob": sound + "    knob = 'ratio'\n    space = training('sgd', 0.1)\n",
        "two": sound + "    knob = None\n    space = {}\nclass N(M): pass\n",
        "imports": "import no_such_library\n",
        "dense": sound + "    knob = None\n    space = {}\n",
        "_private": "raise RuntimeError\n",
    }
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("benchmark.method.registry.PACKAGES", ("methods", "baselines", "some_adapters"))
    found = registry.__wrapped__()
    assert "sound" in found.methods
    assert set(registry().methods) < set(found.methods)
    words = {
        "syntax": "line 1: SyntaxError",
        "missing": "needs the field 'space'",
        "no_knob": "knob 'ratio' is not a key of its space",
        "two": "defines 2 methods",
        "imports": "No module named 'no_such_library'",
        "dense (some_adapters.dense)": "its name is taken by baselines.dense",
    }
    assert set(found.broken) == set(words)
    for name, text in words.items():
        assert text in found.broken[name]
