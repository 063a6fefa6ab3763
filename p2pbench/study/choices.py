"""What a researcher chose on the command line, checked: the protocol, the consent, the way in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from amt.protocol import Protocol
from amt.recruitment import Consent, Outcome, Recruitment, Source
from p2pbench.errors import UserError
from reports import json_files

# Maps are shown beside another item's fake, colorizations beside the same item's: paper, section 4.1.
TASKS: dict[str, Literal["paired", "unpaired"]] = {"map": "unpaired", "colorization": "paired"}
_OPTIONS = {"scored": "--trials", "width": "--size", "height": "--size"}  # where they are not called as the setting
_OUTCOMES: dict[str, Outcome] = {"completed": "completed", "no_consent": "no_consent", "ineligible": "ineligible"}


def protocol(settings: Mapping[str, object]) -> Protocol:
    """A protocol with these settings.

    Raises:
        UserError: One of them cannot be.
    """
    try:
        return Protocol.model_validate(settings)
    except ValidationError as error:
        field, colon, what = json_files.problem(error).partition(": ")
        option = _OPTIONS.get(field, f"--{field}") if field in settings else field
        raise UserError(f"{option}{colon}{what}; change it") from None


def consent(path: Path | None, contact: str) -> Consent:
    """What raters agree to, from a text file with an empty line between paragraphs; the program's own text without.

    Raises:
        UserError: The file holds no text.
    """
    if path is None:
        return Consent(contact=contact)
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{path}: found no UTF-8 text, expected paragraphs; save it as UTF-8") from None
    paragraphs = tuple(" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip())
    if not paragraphs:
        raise UserError(f"{path}: found no text, expected what raters agree to; write it, or leave out --consent")
    return Consent(paragraphs=paragraphs, contact=contact)


def recruitment(by: Source, given: Mapping[str, str]) -> Recruitment:
    """The way in, with Prolific's codes by outcome.

    Raises:
        UserError: A code is for no outcome, or for another way in, or the one for completion is missing.
    """
    unknown = sorted(given.keys() - _OUTCOMES.keys())
    if unknown:
        raise UserError(f"--prolific-code {unknown[0]}: expected one of {', '.join(_OUTCOMES)}; change it")
    if given and by != "prolific":
        raise UserError("--prolific-code goes with --recruit prolific; give both or neither")
    if by == "prolific" and "completed" not in given:
        raise UserError("--recruit prolific: expected --prolific-code completed=CODE too; Prolific shows the code")
    return Recruitment(by=by, codes={_OUTCOMES[key]: code for key, code in given.items()})
