"""The errors a user can cause, and mend."""

from amt.errors import AmtError
from amt.store.refusal import Refusal
from fcn.errors import FcnError
from reports.errors import ReportError


class UserError(Exception):
    """Something outside the program is wrong, and the message says how to mend it.

    The message is one line: which file or setting, what was found, what was expected, what to do. The command line
    prints it and exits with code 1; anything else that reaches the user is a bug of ours and shows its traceback.
    """


# Each package has errors of its own kind, since those below know nobody above.
MENDABLE = (UserError, AmtError, Refusal, FcnError, ReportError)
