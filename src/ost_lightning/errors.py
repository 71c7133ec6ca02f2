"""User-fixable errors."""

from typing import Final

from ost_lightning.escaping import without_passwords


class UserError(Exception):
    """Base class of user-fixable errors: a wrong setting, file, list or checkpoint.

    The message is one paragraph: where the problem is, what was found, what was expected, and what to do. The `ost`
    command prints it without a traceback. Passwords in URLs are hidden in it.

    Args:
        message: The paragraph.
    """

    def __init__(self, message: str) -> None:
        super().__init__(without_passwords(message))


class CheckpointError(UserError):
    """Error for model weights that are missing, incomplete or incompatible."""


class NonFiniteError(UserError, ValueError):
    """Error for weights, cosines or scores that are NaN or infinite, so that no number follows from them."""


NON_FINITE_HINT: Final = (
    "Check the weights, the pixel statistics and the learned temperature; with 16-bit precision, repeat in full "
    "precision (--trainer.precision 32)."
)
"""Likely causes of scores that are not finite, for messages."""
