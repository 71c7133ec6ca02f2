"""Names of experiments and ablation tables that come with the package, and their YAML files."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import yaml

from ost_lightning.errors import UserError
from ost_lightning.experiment.misspelled_keys import misspelled_keys
from ost_lightning.renamed_settings import reject_renamed_in_file
from ost_lightning.resources import shipped

_TABLES: Final = "ablations"
_NO_EXPERIMENTS: Final = (_TABLES, "sweeps", "slurm")


def experiment_names() -> list[str]:
    """Returns the names of the experiments and overlays that come with the package, sorted."""
    folder = shipped("experiments")
    files = (path.relative_to(folder) for path in folder.rglob("*.yaml"))
    return sorted(path.with_suffix("").as_posix() for path in files if path.parts[0] not in _NO_EXPERIMENTS)


def standalone_experiments() -> list[str]:
    """Returns the names of the experiments that can run alone; all others are overlays for one of these."""
    return [name for name in experiment_names() if "/" not in name]


def table_names() -> list[str]:
    """Returns the names of the ablation tables that come with the package, sorted."""
    return sorted(path.stem for path in (shipped("experiments") / _TABLES).glob("*.yaml"))


def experiment_file(name_or_path: str) -> Path:
    """Returns the YAML file of an experiment after checking its syntax and names.

    Args:
        name_or_path: Path of a file, or name of an experiment that comes with the package.

    Raises:
        UserError: If the file doesn't exist, isn't a YAML mapping, or uses settings of an earlier version.
    """
    return _check(_find(name_or_path, shipped("experiments"), experiment_names(), "experiment file"))


def table_file(name_or_path: str) -> Path:
    """Returns the YAML file of an ablation table; like `experiment_file`."""
    return _check(_find(name_or_path, shipped("experiments") / _TABLES, table_names(), "ablation table"))


def _find(name_or_path: str, folder: Path, known: Sequence[str], what: str) -> Path:
    for path in (Path(name_or_path), folder / f"{name_or_path}.yaml"):
        if path.is_file():
            return path
    close = difflib.get_close_matches(name_or_path.removesuffix(".yaml"), known, n=1)
    meant = f" Did you mean {close[0]}?" if close else ""
    raise UserError(
        f"There is no {what} {name_or_path}.{meant} Expected the path of a YAML file, or one of these names: "
        f"{', '.join(known)}."
    )


def _check(file: Path) -> Path:
    try:
        tree = yaml.compose(file.read_text(encoding="utf-8"), yaml.SafeLoader)
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 text ({error}). Save it as UTF-8.") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{file}:{line}: not valid YAML ({error.problem}).") from error
    if not isinstance(tree, yaml.MappingNode):
        found = "nothing" if tree is None else "a list" if isinstance(tree, yaml.SequenceNode) else "a single value"
        raise UserError(
            f"{file} contains {found}. Expected settings, such as `model:` or `trainer:` with keys below them."
        )
    for key, meant in misspelled_keys(tree):
        line = key.start_mark.line + 1
        raise UserError(f"{file}:{line}: there is no setting `{key.value}`. Did you mean `{meant}`?")
    reject_renamed_in_file(file, tree)
    return file
