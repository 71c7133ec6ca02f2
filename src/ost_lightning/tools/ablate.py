"""`ost ablate --mean`: mean and standard deviation of earlier ablation tables."""

from collections.abc import Sequence
from pathlib import Path


def mean(*, mean: Sequence[Path], output: Path | None = None) -> None:
    """Averages the ablation tables of several runs, such as seeds, draws or splits, without an evaluation.

    Args:
        mean: Files ablation.json of earlier runs.
        output: Folder for the mean table; if not given, the table is only printed.
    """
    from ost_lightning.analysis import AblationTable, mean_of
    from ost_lightning.analysis.terminal_table import print_markdown

    table = mean_of([AblationTable.load(file) for file in mean])
    if output is not None:
        table.save(output)
    print_markdown(table.markdown())
