"""Writes the starting point of a new method: a file in a checkout, or a package of its own."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path

import baselines
from benchmark.errors import UsageError
from benchmark.files import write_whole
from benchmark.method.registry import ENTRY_POINTS, method_names

LONGEST = 60  # letters of a name; with what is added, folders and files of this name can be made everywhere
PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{distribution}"
version = "0.1.0"
dependencies = ["deadweight"]

[project.entry-points."{group}"]
{name} = "{name}:{class_name}"

[tool.setuptools]
package-dir = {{ "" = "src" }}
py-modules = ["{name}"]
"""


def in_checkout() -> bool:
    """Whether the suite's own baselines lie in a checkout: a file beside them is then a method."""
    return (Path(baselines.__file__).parents[1] / "pyproject.toml").exists()


def new_method(name: str, folder: Path) -> Path:
    """Writes `folder`/NAME.py from the template. Raises UsageError for a name that is no module's, or is taken."""
    _check_name(name)
    target = folder / f"{name}.py"
    if target.exists():
        raise UsageError(f"{target} is there already; choose another name")
    template = (Path(baselines.__file__).parent / "_template.py").read_text(encoding="utf-8")
    text = template.replace("class Template(", f"class {_class_name(name)}(").replace('"Template"', f'"{_title(name)}"')
    write_whole(target, text.encode())
    return target


def new_package(name: str, folder: Path) -> Path:
    """Writes an installable package `folder`/NAME with one method and its entry point.

    Raises UsageError likewise, and for the name of a package that is there: one would hide the other.
    """
    _check_name(name)
    if importlib.util.find_spec(name) is not None:
        raise UsageError(f"there is a Python package {name!r} already; choose another name")
    target = folder / name
    if target.exists():
        raise UsageError(f"{target} is there already; choose another name")
    method = new_method(name, target / "src")  # in a folder of its own name it could not be imported beside it
    text = method.read_text(encoding="utf-8").replace("from benchmark.method import", "from deadweight import")
    write_whole(method, text.encode())
    fields = {"distribution": f"deadweight-{name.replace('_', '-')}", "group": ENTRY_POINTS}
    pyproject = PYPROJECT.format(name=name, class_name=_class_name(name), **fields)
    write_whole(target / "pyproject.toml", pyproject.encode())
    return target


def _check_name(name: str) -> None:
    if (
        not (name.isidentifier() and name.isascii())
        or keyword.iskeyword(name)
        or name != name.lower()
        or name.startswith("_")
    ):
        raise UsageError(f"{name!r} cannot name a method: use lower-case letters, digits and _, as in my_method")
    if len(name) > LONGEST:
        raise UsageError(f"a method's name has at most {LONGEST} letters, not {len(name)}")
    if name in method_names():
        raise UsageError(f"there is a method {name!r} already; choose another name")


def _class_name(name: str) -> str:
    return name.title().replace("_", "")


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()
