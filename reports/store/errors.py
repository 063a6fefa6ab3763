"""Errors that users can fix, checks of arguments, exceptions of damaged files."""

from __future__ import annotations

import functools
import inspect
import lzma
import re
import reprlib
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from types import SimpleNamespace
from typing import ParamSpec, TypeVar, get_type_hints

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# A damaged file fails wherever its reader stumbles: JSON and CSV raise ValueError, a field that is missing LookupError,
# one of another type TypeError or AttributeError, a division or a huge exponent ArithmeticError, deep nesting
# RecursionError (a RuntimeError). NumPy evaluates the header of an array as Python (SyntaxError, TokenError) and
# allocates what the header declares (MemoryError); Pillow and tifffile fail in checks and decompressors.
DAMAGED = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""The exceptions that readers of files raise where a file is missing, damaged or of another kind."""


class ReportError(Exception):
    """An unreadable results folder or unwritable page, with the fix."""


def checked_arguments(
    error: type[Exception],
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Make a public function refuse arguments of other types than it declares.

    Without that, a wrong one would fail somewhere inside, after files were written or hours of training. Numbers of
    NumPy become Python's.

    Args:
        error: What is raised: argument, value found, types expected, a right call. It is a TypeError, as Python's own,
            if arguments are missing, too many or unknown.
    """

    def decorate(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        signature = inspect.signature(function)
        parameters = signature.parameters.values()

        @functools.wraps(function)
        def checking(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as wrong:
                bare = [each.replace(default=each.empty, annotation=each.empty) for each in parameters]
                expected = f"expected {function.__name__}{inspect.Signature(bare)}"
                raise TypeError(f"{function.__name__}: {wrong}; {expected}{_right_call(function)}") from None
            bound.arguments |= {name: as_python(value) for name, value in bound.arguments.items()}
            _check_types(function, bound.arguments, error)
            return function(*bound.args, **bound.kwargs)

        return checking

    return decorate


def _check_types(function: Callable[..., object], values: dict[str, object], error: type[Exception]) -> None:
    from pydantic import ConfigDict, TypeAdapter, ValidationError  # which `p2pbench --help` does not need

    config = ConfigDict(strict=True, arbitrary_types_allowed=True)
    # Without the type of the result, which may be of a module that is only imported for types.
    declared = {name: text for name, text in function.__annotations__.items() if name != "return"}
    for name, kind in get_type_hints(SimpleNamespace(__annotations__=declared), function.__globals__).items():
        if name in values:
            value = values[name]
            if isinstance(value, str | Path) and "\0" in str(value):
                raise error(f"{name} = {reprlib.repr(value)}: found a null character, expected none")
            try:
                TypeAdapter(kind, config=config).validate_python(value)
                fits = not isinstance(value, Mapping) or "Mapping" in str(kind)  # else it would fit a model of its keys
            except ValidationError:
                fits = False
            if not fits:
                expected = kind.__name__ if isinstance(kind, type) else re.sub(r"\b(\w+\.)+", "", str(kind))
                raise error(f"{name} = {reprlib.repr(value)}: expected {expected}{_right_call(function, name)}")


def _right_call(function: Callable[..., object], argument: str = "") -> str:
    """End of a message: a call in the function's own example, one that names the argument if there is one."""
    calls = re.findall(rf">>> .*?\b({function.__name__}\([^()\n]+\))", function.__doc__ or "")
    call = next((call for call in calls if f"{argument}=" in call), calls[0] if calls else "")
    return f", as in {call}" if call else ""


def as_python(value: object) -> object:
    """Convert numbers of NumPy, also in lists and mappings, to Python's."""
    if isinstance(value, dict):
        return {key: as_python(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | range):
        return [as_python(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)
