from pathlib import Path

import pytest
import torch

from ost_lightning.models import CheckpointError, VideoCLIP, weights_digest


@pytest.fixture
def tuned() -> VideoCLIP:
    clip = VideoCLIP("tiny")
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.add_(0.01)
    return clip


def checkpoint(clip: VideoCLIP, file: Path, **changes: torch.Tensor) -> Path:
    state = {f"video_clip.{name}": weight for name, weight in clip.state_dict().items()}
    torch.save({"state_dict": {**state, "matcher.other": torch.zeros(1), **changes}, "optimizer_states": []}, file)
    return file


def test_a_checkpoint_or_a_folder_gives_the_weights(tuned: VideoCLIP, tmp_path: Path) -> None:
    tuned.save_pretrained(tmp_path / "folder")
    for source in (checkpoint(tuned, tmp_path / "a.ckpt"), tmp_path / "folder"):
        initialized = VideoCLIP("tiny", init_from=source)
        assert weights_digest(initialized) == weights_digest(tuned)
        # ensembling still mixes with the pre-trained model
        original = initialized.original_parameters()
        assert torch.equal(original["encoder.model.logit_scale"], VideoCLIP("tiny").encoder.model.logit_scale)


def test_mismatching_weights_are_rejected(tuned: VideoCLIP, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        VideoCLIP("tiny", init_from=tmp_path / "none.ckpt")
    (tmp_path / "text.ckpt").write_text("x")
    with pytest.raises(CheckpointError, match="can't be read as a checkpoint: it is damaged"):
        VideoCLIP("tiny", init_from=tmp_path / "text.ckpt")
    torch.save({"state_dict": {"model.x": torch.zeros(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="contains no weights named video_clip"):
        VideoCLIP("tiny", init_from=tmp_path / "other.ckpt")
    more = checkpoint(tuned, tmp_path / "more.ckpt", **{"video_clip.head.weight": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"0 are missing and 1 are unexpected \(first: head\.weight\)"):
        VideoCLIP("tiny", init_from=more)
    wide = checkpoint(tuned, tmp_path / "wide.ckpt", **{"video_clip.encoder.model.logit_scale": torch.zeros(2)})
    with pytest.raises(CheckpointError, match=r"encoder\.model\.logit_scale has shape \(2,\)"):
        VideoCLIP("tiny", init_from=wide)


def test_the_digest_depends_only_on_the_values(tuned: VideoCLIP) -> None:
    plain = VideoCLIP("tiny")
    assert weights_digest(plain) == weights_digest(VideoCLIP("tiny", freeze_text=True)) != weights_digest(tuned)
