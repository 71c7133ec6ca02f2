"""Names of weights in checkpoints that earlier versions wrote, and their current names."""

from collections.abc import MutableMapping
from typing import Any, Final

_RENAMED: Final = {"video_clip.clip.": "video_clip.encoder.model."}


def use_current_names(checkpoint: MutableMapping[Any, Any]) -> None:
    """Renames the weights in a checkpoint, in place and keeping their order.

    This includes nested dictionaries, because callbacks that average weights keep copies in their states.

    Args:
        checkpoint: Content of a checkpoint, or only its `state_dict`.
    """
    entries = list(checkpoint.items())
    if any(_current_name(name) != name for name in checkpoint):
        checkpoint.clear()
        checkpoint.update((_current_name(name), value) for name, value in entries)
    for _, value in entries:
        if isinstance(value, MutableMapping):
            use_current_names(value)


def _current_name(name: Any) -> Any:
    if isinstance(name, str):
        for old, new in _RENAMED.items():
            if name.startswith(old):
                return new + name.removeprefix(old)
    return name
