"""Settings as `--print_config` prints them: each command is parsed once per test run, in whichever process needs it."""

import hashlib
import io
import json
from contextlib import redirect_stdout
from typing import Any

import pytest
import yaml

from ost_lightning.cli import main
from ost_lightning.files import write_text_atomically
from ost_lightning.resources import cache_folder


def printed_settings(*command: str) -> dict[str, Any]:
    """Returns the settings of a command that names only shipped files; one that can't be parsed fails the test.

    Args:
        command: Command and options of `ost`, without the program's name.
    """
    same = " ".join(command).replace("--config ", "--config=")
    file = cache_folder() / "printed" / f"{hashlib.sha256(same.encode()).hexdigest()}.json"
    if not file.is_file():
        printed = io.StringIO()
        with redirect_stdout(printed), pytest.raises(SystemExit) as stop:
            main([*command, "--print_config"])
        assert stop.value.code == 0
        write_text_atomically(file, json.dumps(yaml.safe_load(printed.getvalue())))
    settings: dict[str, Any] = json.loads(file.read_text())
    return settings
