"""Command lines of experiments before they are parsed."""

from pathlib import Path

import pytest

from ost_lightning.cli import main
from ost_lightning.errors import UserError
from ost_lightning.experiment.arguments import normalized, underscored
from ost_lightning.experiment.experiment_files import experiment_names, standalone_experiments, table_file, table_names
from ost_lightning.resources import shipped

TOYWORLD = str(shipped("experiments") / "toyworld.yaml")


@pytest.mark.parametrize(
    ("option", "spelled"),
    [
        ("--ckpt-path", "--ckpt_path"),
        ("--data.loading.embedding-cache-gigabytes", "--data.loading.embedding_cache_gigabytes"),
        ("--data.test.my-set.list", "--data.test.my-set.list"),  # a name that the user chose
        ("-c", "-c"),
        ("a-b", "a-b"),
    ],
)
def test_hyphens(option: str, spelled: str) -> None:
    assert underscored(option) == spelled


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--config", "toyworld"], ["--config", TOYWORLD]),
        (["--config=toyworld"], [f"--config={TOYWORLD}"]),
        (["-c", "toyworld"], ["-c", TOYWORLD]),
        (["--print-config", "-c", "toyworld"], ["--print_config", "-c", TOYWORLD]),
        (["--a-b=c-d", "--e-f", "g-h"], ["--a_b=c-d", "--e_f", "g-h"]),
        (["--x", "-1"], ["--x", "-1"]),
        (["--x=a=b"], ["--x=a=b"]),
        (["--config"], ["--config"]),
    ],
)
def test_normalized_command_lines(arguments: list[str], expected: list[str]) -> None:
    assert normalized(["fit", *arguments]) == ["fit", *expected]


def test_hyphens_and_underscores_give_the_same_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    configs = []
    for option in ("--data.loading.global-batch-size", "--data.loading.global_batch_size"):
        with pytest.raises(SystemExit):
            main(["fit", "--config=toyworld", option, "7", "--seed-everything=3", "--print-config"])
        configs.append(capsys.readouterr().out)
    assert configs[0] == configs[1]
    assert "global_batch_size: 7" in configs[0]
    assert "seed_everything: 3" in configs[0]


def test_names_of_experiments_and_tables(tmp_path: Path) -> None:
    assert {"toyworld", "modes/lora", "presets/released"} <= set(experiment_names())
    assert not [name for name in experiment_names() if name.startswith(("ablations", "sweeps", "slurm"))]
    assert "toyworld" in standalone_experiments()
    assert "modes/lora" not in standalone_experiments()
    assert table_names() == ["ost_plus", "table4"]
    assert table_file("table4").is_file()
    with pytest.raises(UserError, match=r"no ablation table tabel4\. Did you mean table4\?"):
        table_file("tabel4")
    with pytest.raises(UserError, match=r"no experiment file .*nothing\.yaml\. Expected"):
        normalized(["fit", f"--config={tmp_path / 'nothing.yaml'}"])


@pytest.mark.parametrize(("text", "found"), [("", "nothing"), ("- a", "a list"), ("text", "a single value")])
def test_a_file_without_settings_is_rejected(text: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(UserError, match=f"contains {found}. Expected settings"):
        normalized(["fit", f"--config={tmp_path / 'a.yaml'}"])
