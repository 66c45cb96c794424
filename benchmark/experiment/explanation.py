"""What is wrong with a study's file, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from benchmark.errors import UsageError, unknown


def explained(name: str, error: ValidationError, tables: Mapping[str, type[BaseModel]]) -> UsageError:
    """The first problem of a study; a misspelt key comes before the key that it leaves missing.

    `tables` says by first key which fields are valid there, and under "" which are elsewhere.
    """
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    place = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        level = tables.get(str(first["loc"][0])) or tables[""]
        return UsageError(f"study {name!r}: {unknown('key', str(first['loc'][-1]), level.model_fields)} (at {place})")
    if first["type"] == "missing":
        return UsageError(f"study {name!r}: the key {place!r} is missing")
    found = first.get("input")
    found = "" if isinstance(found, dict | list) else f", not {found!r}"
    return UsageError(f"study {name!r}: {place}: {first['msg'].removeprefix('Value error, ')}{found}")
