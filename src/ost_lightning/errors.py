"""Errors that a user can put right."""


class UserError(Exception):
    """Something given from outside is wrong: a setting, a file, a list, a checkpoint.

    The message is one paragraph: where, what was found, what was expected, what to do. The `ost` command prints it
    without a traceback.
    """


class CheckpointError(UserError):
    """Model weights are missing, incomplete or do not fit."""
