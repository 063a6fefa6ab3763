"""JSON records, read with strict type checks or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import TypeAdapter, ValidationError

from reports.store.errors import DAMAGED, ReportError
from reports.store.names import printable

T = TypeVar("T")
LONGEST_COMPLAINT = 300  # characters of the message, as it may quote the file


def read(path: Path, kind: type[T], mend: str) -> T:
    """Read a record of a type that pydantic can check.

    Nothing is converted: neither "2" nor true is a number, and null stands for nothing else.

    Args:
        path: The file.
        kind: Its required type, such as a model or `dict[str, str]`.
        mend: Fix named in the message.

    Raises:
        ReportError: The file cannot be read, is no JSON, or has other content.
    """
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes(), strict=True)  # strict: "2" is no number
    except OSError as error:
        raise damaged(path, f"cannot be read ({error.strerror})", mend) from None
    except ValidationError as error:
        raise damaged(path, problem(error), mend) from None


def read_object(path: Path, mend: str) -> dict[str, Any]:
    """Read a JSON object with any fields, for its reader to check.

    Raises:
        ReportError: The file cannot be read, is no JSON, or no object.
    """
    try:
        # Python's parser takes NaN and Infinity, which are no JSON and which browsers refuse.
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except DAMAGED as error:
        raise damaged(path, f"found no JSON ({error}), expected an object", mend) from error
    if not isinstance(document, dict):
        raise damaged(path, f"found a JSON {type(document).__name__}, expected an object", mend)
    return document


def problem(error: ValidationError) -> str:
    """First problem of a record: field, found, expected."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "json_invalid":
        return f"found no JSON ({first['msg'].removeprefix('Invalid JSON: ')})"
    if first["type"] == "missing":
        return f"found no {where!r}, expected it"
    if first["type"] == "extra_forbidden":
        return f"found {where!r}, which this version does not know"
    expected = first["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    what = f"expected {expected}, found {first['input']!r}" if first["type"] != "value_error" else expected
    return f"{where}: {what}" if where else what


def damaged(path: Path, what: str, mend: str) -> ReportError:
    """Error that names a damaged file in one line."""
    short = what if len(what) <= LONGEST_COMPLAINT else f"{what[:LONGEST_COMPLAINT]} ..."
    # Names and quoted content may hold control characters, which would act on the terminal.
    return ReportError(printable(f"{path}: {short}; {mend}"))


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
