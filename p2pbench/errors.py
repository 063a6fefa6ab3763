"""The errors a user can cause, and mend."""

import re
from contextlib import suppress
from pathlib import Path

from amt.errors import AmtError, Refusal
from fcn.errors import FcnError
from reports.store.errors import ReportError
from reports.store.names import printable


class UserError(Exception):
    """Error that the user can mend, as the message says.

    The message is one line, with one more for each of several files: which file or setting, what was found, what was
    expected, what to do. The command line prints it and exits with code 1; anything else that reaches the user is a bug
    of ours and shows its traceback.
    """


NEXT_LINE = "\n  "  # before each culprit where a message names several


def shown(message: str) -> str:
    """Message for printing, without control characters.

    Names in it may come from files.
    """
    return NEXT_LINE.join(map(printable, message.split(NEXT_LINE)))


def check_text(path: str) -> str:
    """Check that a path is valid text.

    Records and file formats need it; files below it may have any name.

    Raises:
        UserError: Its bytes are no UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: the name is not UTF-8; rename that folder or file, or give a link to it") from None
    return path


def check_no_pipe(argument: str) -> None:
    """Refuse an argument that names a pipe or a device.

    Opening one may block forever.

    `--option=PATH`, `NAME=PATH` and `DATASET:PATH` are looked into.

    Raises:
        UserError: It does, itself or by a link.
    """
    for text in {argument, *re.split("[=:]", argument)}:
        path = Path(text)
        with suppress(OSError, ValueError):  # too long for a name, or with a null in it
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise UserError(f"{path}: is a pipe or a device; expected a file or a folder; copy what it gives first")


# Each package has errors of its own kind, since lower packages do not import p2pbench.
MENDABLE = (UserError, AmtError, Refusal, FcnError, ReportError)
