"""The errors a user can cause, and mend."""

import re
from contextlib import suppress
from pathlib import Path

from amt.errors import AmtError, Refusal
from fcn.errors import FcnError
from reports.store.errors import ReportError
from reports.store.names import printable


class UserError(Exception):
    """Something outside the program is wrong, and the message says how to mend it.

    The message is one line, with one more for each of several files: which file or setting, what was found, what was
    expected, what to do. The command line prints it and exits with code 1; anything else that reaches the user is a bug
    of ours and shows its traceback.
    """


NEXT_LINE = "\n  "  # before each culprit where a message names several


def shown(message: str) -> str:
    """A message as it is printed: names in it may come from files, and control nothing."""
    return NEXT_LINE.join(map(printable, message.split(NEXT_LINE)))


def check_text(path: str) -> str:
    """Return a path that is valid text, as records and file formats need it; files below it may have any name.

    Raises:
        UserError: Its bytes are no UTF-8.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UserError(f"{path}: the name is not UTF-8; rename that folder or file, or give a link to it") from None
    return path


def check_no_pipe(argument: str) -> None:
    """Refuse an argument of the command line that names a pipe or a device: whoever opens one may wait for ever.

    `--option=PATH`, `NAME=PATH` and `DATASET:PATH` are looked into.

    Raises:
        UserError: It does, itself or by a link.
    """
    for text in {argument, *re.split("[=:]", argument)}:
        path = Path(text)
        with suppress(OSError, ValueError):  # too long for a name, or with a null in it
            if path.exists() and not (path.is_file() or path.is_dir()):
                raise UserError(f"{path}: is a pipe or a device; expected a file or a folder; copy what it gives first")


# Each package has errors of its own kind, since those below know nobody above.
MENDABLE = (UserError, AmtError, Refusal, FcnError, ReportError)
