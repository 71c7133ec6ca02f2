"""Access to private names of Lightning, for the adapter modules that need them."""

from typing import Any, Final

import lightning

TESTED_WITH: Final = "2.6.6"
"""Version of Lightning whose private names the adapters were tested with."""


def private(owner: object, name: str) -> Any:
    """Returns a private attribute of a Lightning object or class.

    Raises:
        RuntimeError: If the installed version of Lightning doesn't have the attribute.
    """
    try:
        return getattr(owner, name)
    except AttributeError as error:
        class_ = owner if isinstance(owner, type) else type(owner)
        raise RuntimeError(
            f"Lightning {lightning.__version__} has no {class_.__module__}.{class_.__qualname__}.{name}, which "
            f"ost_lightning relies on. It was tested with Lightning {TESTED_WITH}: install that version."
        ) from error
