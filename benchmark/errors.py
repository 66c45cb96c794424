"""What the user can put right: one clear line, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

NAMED = 3  # names in a sentence; it says how many more there are


class UsageError(Exception):
    """Bad input or a bad environment; the message is one line that says what and what to do."""


def unknown(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest one that does."""
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"valid: {', '.join(names) or 'none'}"
    return UsageError(f"unknown {kind} {name!r}; {hint}")


def first_line(what: BaseException | str) -> str:
    """The first line of a text or of an error's message; an error without one gives its type."""
    lines = str(what).strip().splitlines()
    return lines[0] if lines else "" if isinstance(what, str) else type(what).__name__


def some(names: Iterable[str]) -> str:
    """The first few of these names, each once, and how many more there are."""
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return "; ".join(every[:NAMED]) + more
