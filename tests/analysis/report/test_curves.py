from pathlib import Path

import pytest

from ost_lightning.analysis.report.curves import learning_curves
from ost_lightning.errors import UserError


def test_curves_are_grouped_by_kind(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "epoch,lr-AdamW,step,throughput/videos_per_second,train/loss,val/own/top1,val/own/top5\n"
        ",0.1,0,,2.5,,\n,,10,30,nan,,\n,0.05,20,,1.5,,\n0,,10,,,0.25,0.5\n1,,20,,,0.5,0.75\n"
    )
    rate, loss, accuracy = learning_curves(tmp_path / "metrics.csv")
    assert (rate.title, loss.title, accuracy.title) == ("Learning rate", "Loss", "Top-1 on validation sets")
    assert rate.series == {"lr-AdamW": ((0, 0.1), (20, 0.05))}
    assert loss.series == {"train/loss": ((0, 2.5), (20, 1.5))}
    assert accuracy.series == {"val/own/top1": ((10, 0.25), (20, 0.5))}


def test_long_curves_are_thinned_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,train/loss\n" + "".join(f"{k},{k}\n" for k in range(10_001)))
    (loss,) = learning_curves(tmp_path / "metrics.csv")
    points = loss.series["train/loss"]
    assert 250 < len(points) < 350
    assert (points[0], points[-1]) == ((0, 0), (10_000, 10_000))


@pytest.mark.parametrize("text", ["step,train/loss\nx,1\n", "train/loss\n1\n"])
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(UserError, match=r"metrics\.csv is not the"):
        learning_curves(tmp_path / "metrics.csv")
