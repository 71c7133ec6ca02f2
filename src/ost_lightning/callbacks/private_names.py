"""Access to private names of Lightning, for the adapter files that can't do without."""

from typing import Any, Final

import lightning

TESTED_WITH: Final = "2.6.6"
"""Version of Lightning whose private names the adapters were tested with."""


def private(owner: object, name: str) -> Any:
    """A private attribute of one of Lightning's objects or classes.

    Raises:
        RuntimeError: If this version of Lightning doesn't have it.
    """
    try:
        return getattr(owner, name)
    except AttributeError as error:
        described = owner if isinstance(owner, type) else type(owner)
        raise RuntimeError(
            f"Lightning {lightning.__version__} has no {described.__module__}.{described.__qualname__}.{name}, which "
            f"ost_lightning relies on: it was tested with Lightning {TESTED_WITH}. Install that version."
        ) from error
