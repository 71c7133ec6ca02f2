"""Old names of settings, values, classes and options, rejected with an error that gives the new name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from ost_lightning.errors import UserError

KEYS: Final[dict[str, str]] = {
    "chooser": "direction",
    "colour_jitter": "color_jitter",
    "decay_everything": "weight_decay_on_all",
    "new_modules_factor": "new_module_lr_multiplier",
    "optimisation": "optimizer",
    "trust_labels": "ignore_name_mismatch",
    "warmup": "warmup_fraction",
}
"""New name of each setting by old name. If an old name is dotted, its parent keys have to match too."""

VALUES: Final[dict[tuple[str, str], str]] = {
    ("direction", "descriptor"): "descriptors_to_frames",
    ("direction", "frame"): "frames_to_descriptors",
    ("gradient", "envelope"): "detach",
    ("gradient", "through_plan"): "implicit",
    ("on_missing", "leave_out"): "skip",
    ("schedule", "released"): "timm_cosine",
}
"""New value by setting and old value. Settings have their new name, which may be dotted."""

CLASSES: Final[dict[str, str]] = {
    "LossGuard": "NonFiniteLossGuard",
    "Resumption": "ExactResume",
    "RunCheckpoint": "ResumableCheckpoint",
    "SeveralSets": "CombinedDataModule",
    "XCLIP": "VideoCLIP",  # the checkpoint chooses the encoder
}
"""New name of each class by old name."""

OPTIONS: Final[dict[str, dict[str, str]]] = {
    "ablate": {"cache_gigabytes": "data.loading.embedding_cache_gigabytes", "ckpt": "ckpt_path"},
    "convert": {"clip": "pretrained"},
    "data transcode": {f"settings.{name}": name for name in ("crf", "fast_decode", "gop", "preset", "short_side")},
    "descriptors check": {"clip": "pretrained", "per_class": "descriptors_per_class", "report": "output"},
    "descriptors density": {"clip": "pretrained", "out": "output", "per_class": "descriptors_per_class"},
    "descriptors export": {"out": "output", "per_class": "descriptors_per_class"},
    "descriptors generate": {"out": "output", "per_class": "descriptors_per_class"},
    "descriptors import": {"out": "output"},
    "results": {"csv_file": "output", "markdown_file": "output"},
}
"""New name of each option by command and old name."""


@dataclass(frozen=True, slots=True)
class Renamed:
    """Occurrence of an old name in YAML.

    Attributes:
        node: YAML node whose value is the old name.
        setting: Dotted key of the setting, for messages.
        new: New name that replaces the node's value.
    """

    node: yaml.ScalarNode
    setting: str
    new: str

    def __str__(self) -> str:
        """Returns a clause that gives the new name."""
        return f"{self.setting}: `{self.node.value}` is now called `{self.new}`"


def find_renamed(node: yaml.Node | None, path: tuple[str, ...] = ()) -> Iterator[Renamed]:
    """Finds old names in YAML.

    Args:
        node: Result of `yaml.compose`.
        path: Parent keys of the node, without `init_args` and `class_path`.
    """
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            keys = path if key.value in ("init_args", "class_path") else (*path, str(key.value))
            if isinstance(key, yaml.ScalarNode) and (new := new_key(keys)) and keys != path:
                yield Renamed(key, ".".join(keys), new)
                keys = (*path, new)
            yield from find_renamed(value, keys)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from find_renamed(item, path)
    elif isinstance(node, yaml.ScalarNode) and (new := _new_value(path, str(node.value))):
        yield Renamed(node, ".".join(path), new)


def new_key(path: tuple[str, ...]) -> str | None:
    """Returns the new name of the last key of a path if that key is an old name; None otherwise."""
    return next((new for old, new in KEYS.items() if _ends(path, old)), None)


def reject_renamed_in_file(file: object, node: yaml.Node) -> None:
    """Rejects a YAML file that uses old names.

    Args:
        file: Path of the file, for the message.
        node: Result of `yaml.compose` for the file.

    Raises:
        UserError: If the file uses old names; the message gives the line and the new name of each.
    """
    if found := list(find_renamed(node)):
        lines = "; ".join(f"line {entry.node.start_mark.line + 1}, {entry}" for entry in found)
        raise UserError(f"{file} uses names of an earlier version: {lines}. Change them in the file.")


def reject_renamed_option(command: str, option: str, value: str | None) -> None:
    """Rejects an option with an old name, or with old names in its dotted key or in its value.

    Args:
        command: Name of the command, such as `fit` or `data check`.
        option: Option without the leading hyphens.
        value: Value from the command line; None for an option without a value.

    Raises:
        UserError: If the option uses old names; the message gives the new name of each.
    """
    if new := OPTIONS.get(command, {}).get(option):
        raise UserError(f"--{option} is an option of an earlier version: it is now called --{new}.")
    original = [key for key in option.removesuffix("+").split(".") if key != "init_args"]
    keys = list(original)
    for length in range(1, len(keys) + 1):
        keys[length - 1] = new_key(tuple(keys[:length])) or keys[length - 1]
    if keys != original:
        raise UserError(f"--{option} is an option of an earlier version: it is now called --{'.'.join(keys)}.")
    if value is not None and (found := list(find_renamed(_compose(value), tuple(keys)))):
        raise UserError(f"--{option} uses names of an earlier version: {'; '.join(map(str, found))}.")


def with_new_names(settings: Any, path: tuple[str, ...] = ()) -> Any:
    """Returns what settings of an earlier version mean, such as those in an old checkpoint or results.json.

    Args:
        settings: Nested mappings, lists and plain values.
        path: Keys above them, without `init_args` and `class_path`.
    """
    if isinstance(settings, Mapping):
        current = {}
        for key, value in settings.items():
            below = path if key in ("init_args", "class_path") else (*path, str(key))
            new = new_key(below) if below != path else None
            current[new or key] = with_new_names(value, (*path, new) if new else below)
        return current
    if isinstance(settings, list):
        return [with_new_names(item, path) for item in settings]
    return _new_value(path, settings) or settings if isinstance(settings, str) else settings


def _ends(path: tuple[str, ...], dotted: str) -> bool:
    names = tuple(dotted.split("."))
    return path[-len(names) :] == names


def _new_value(path: tuple[str, ...], value: str) -> str | None:
    for (setting, old), new in VALUES.items():
        if value == old and _ends(path, setting):
            return new
    package, _, name = value.rpartition(".")
    if name not in CLASSES or (package and not package.startswith("ost_lightning.")):
        return None
    return ".".join(filter(None, (package, CLASSES[name])))


def _compose(value: str) -> yaml.Node | None:
    try:
        return yaml.compose(value, yaml.SafeLoader)
    except yaml.YAMLError:  # plain text, which contains no settings
        return None
