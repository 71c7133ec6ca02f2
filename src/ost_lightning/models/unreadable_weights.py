"""What is wrong with a file of weights that can't be read: the exceptions of its readers, in words."""

import pickle
import re
import struct
import zipfile
from typing import Final

from safetensors import SafetensorError

DAMAGED: Final = (
    pickle.UnpicklingError,
    SafetensorError,
    zipfile.BadZipFile,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    MemoryError,
    OverflowError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)
"""Exceptions that damaged or hostile files cause in torch and safetensors."""
_REFUSED: Final = re.compile(r"GLOBAL ([\w.]+)|global(?:\s|:)+([\w.]+)|find_class ([\w.]+)|class ([\w.]+)")
# torch advises to switch its guard off; what it found comes after this advice
_ADVICE: Final = re.compile(r"weights[_ ]only|torch\.load|file an issue|trusted source", re.IGNORECASE)


def problem_in(error: Exception) -> str:
    """Returns what is wrong with a file of weights, in sentences, and never torch's advice to switch its guard off.

    Args:
        error: Exception raised while the file was read, one of `DAMAGED`.
    """
    message = str(error)
    if isinstance(error, pickle.UnpicklingError) and (found := _REFUSED.search(message)):
        name = next(name for name in found.groups() if name)
        return (
            f"it would call Python's `{name}` when it is loaded, which tensors don't need. It was rejected, and none "
            "of its code was executed. If you trust its origin, save only its weights (torch.save(checkpoint['model'], "
            "...)) in the environment that wrote it."
        )
    lines = (line.rpartition("WeightsUnpickler error:")[2].strip() for line in message.splitlines())
    reason = next((line for line in lines if line and not _ADVICE.search(line)), type(error).__name__)
    return f"it is damaged, or has a different format ({reason[:200]})."
