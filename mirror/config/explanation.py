"""What pydantic found, said in the words of the file: where it stands, what would be right."""

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mirror.config.document import Table, nearest
from mirror.config.problems import KeyPath, Place, Problem, dotted, shown
from mirror.config.schema import suggestion

_MESSAGES = {
    "missing": "is missing",
    "dict_type": "must be a mapping of names to sections",
    "mapping_type": "must be a mapping of names to sections",
    "model_type": "must be a section: keys with values below it",
    "model_attributes_type": "must be a section: keys with values below it",
    "tuple_type": "must be a list, such as [a, b]",
}
_KEY = "[key]"


def explain(document: Table, error: ValidationError) -> list[Problem]:
    """One problem for each thing that validation found in this document."""
    return [_problem(document, details) for details in error.errors(include_url=False)]


def _problem(document: Table, details: ErrorDetails) -> Problem:
    about_name = details["type"] == "value_error" and details["loc"][-1:] == (_KEY,)
    path = details["loc"][:-1] if about_name else details["loc"]
    entry, node = nearest(document, path)
    about_key = about_name or details["type"] in ("extra_forbidden", "missing")
    place = entry.key_place if entry and about_key else node.place
    if details["type"] == "extra_forbidden":
        return _unknown_key(place, path)
    return Problem(place, dotted(path), _message(details))


def _unknown_key(place: Place, path: KeyPath) -> Problem:
    # Somebody who forgets a colon makes a key of a password: what stands there is not repeated.
    is_secret = path[-2:-1] == ("credentials",) or path[:1] == ("webhooks",)
    shown_path = path[:-1] if is_secret else path
    return Problem(place, dotted(shown_path), f"unknown key{suggestion(path)}")


def _message(details: ErrorDetails) -> str:
    match details["type"]:
        case "value_error":
            return str(details["ctx"]["error"])
        case "literal_error":
            return f"{shown(str(details['input']))} is not one of {details['ctx']['expected']}"
        case kind:
            return _MESSAGES.get(kind, details["msg"])
