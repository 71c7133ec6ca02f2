"""Misspelled `class_path` and `init_args` in YAML, which the parser would take for settings of a class."""

import difflib
from collections.abc import Iterator
from typing import Final

import yaml

_KEYS: Final = ("class_path", "init_args")


def misspelled_keys(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, str]]:
    """Finds keys that are nearly `class_path` or `init_args`.

    Args:
        node: Result of `yaml.compose`.

    Yields:
        The node of a key, and the key that is meant.
    """
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from misspelled_keys(item)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value not in _KEYS:
                spelled = str(key.value).lower().replace("-", "_")
                yield from ((key, meant) for meant in difflib.get_close_matches(spelled, _KEYS, n=1, cutoff=0.8))
            yield from misspelled_keys(value)
