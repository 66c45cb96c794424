import pytest

from benchmark.errors import first_line, some


@pytest.mark.parametrize(
    ("what", "line"),
    [
        (ValueError("too small\nby far"), "too small"),
        (ValueError("\n  too small"), "too small"),
        (AssertionError(), "AssertionError"),
        (AssertionError("\n"), "AssertionError"),
        ("a\nb", "a"),
        ("", ""),
    ],
)
def test_an_error_without_a_message_is_named_by_its_type(what, line):
    assert first_line(what) == line


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("", ""),
        ("a", "a"),
        ("abc", "a; b; c"),
        ("abcd", "a; b; c and 1 more"),
        ("aabbccddee", "a; b; c and 2 more"),
    ],
)
def test_three_names_are_said_and_the_others_counted(names, text):
    assert some(iter(names)) == text
