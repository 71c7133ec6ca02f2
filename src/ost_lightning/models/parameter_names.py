"""Selection of weights by patterns of their names."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ost_lightning.errors import UserError


def matching_names(names: Iterable[str], patterns: Sequence[str], setting: str) -> list[str]:
    """Returns the names that match one of several patterns, in their own order.

    Args:
        names: Names of weights, such as `text_model.embeddings.token_embedding.weight`.
        patterns: Patterns in which `*` stands for any characters.
        setting: Name of the setting with the patterns, for messages.

    Raises:
        UserError: If a pattern matches no name.
    """
    known = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            close = get_close_matches(pattern.strip("*"), known, 1, 0.0)
            hint = f" A weight is called {close[0]}, for example." if close else ""
            raise UserError(
                f"{setting} has the pattern '{pattern}', but no trained weight has a name like that.{hint} Patterns "
                "match the whole name, and * stands for any characters."
            )
    return [name for name in known if any(fnmatchcase(name, pattern) for pattern in patterns)]
