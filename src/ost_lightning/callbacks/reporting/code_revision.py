"""Git revision of the code that a run used."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

_SOURCE_TREE: Final = Path(__file__).parents[4]


def git_state() -> dict[str, Any] | None:
    """Returns the source tree's revision and whether tracked files were changed; None outside a Git checkout."""
    tree, git = _SOURCE_TREE, shutil.which("git")
    if git is None or not (tree / ".git").exists():
        return None
    answers = [
        subprocess.run([git, "-C", str(tree), *command], capture_output=True, text=True, check=False)  # noqa: S603  # fixed commands
        for command in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
    ]
    if any(answer.returncode for answer in answers):
        return None
    return {"revision": answers[0].stdout.strip(), "changed": bool(answers[1].stdout.strip())}
