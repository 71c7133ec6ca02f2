import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ost_lightning.callbacks.reporting.settings import pixel_statistics
from ost_lightning.models import CheckpointError, VideoCLIP
from ost_lightning.models.encoders import NAMED_STATISTICS, PixelStatistics, Preprocessing, encoder_class
from ost_lightning.models.encoders.pretrained import hub
from ost_lightning.models.encoders.pretrained.preprocessing import expected_preprocessing, read_preprocessing
from ost_lightning.resources import tiny_clip_folder

CLIP, HALF = NAMED_STATISTICS["clip"], NAMED_STATISTICS["half"]
DEFAULT = Preprocessing(224, CLIP.mean, CLIP.std)
OPENAI = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": list(CLIP.mean),
    "image_std": list(CLIP.std),
    "resample": 3,
    "size": 224,
}
SIGLIP = {
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "resample": 2,
    "size": {"height": 224, "width": 224},
}


def write(folder: Path, settings: dict[str, Any]) -> str:
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return str(folder)


def test_the_checkpoints_own_file_is_used(tmp_path: Path) -> None:
    assert read_preprocessing(str(tmp_path), DEFAULT) == DEFAULT
    assert read_preprocessing(write(tmp_path, OPENAI), DEFAULT) == DEFAULT
    squashed = Preprocessing(224, HALF.mean, HALF.std, "squash", "bilinear")
    assert read_preprocessing(write(tmp_path, SIGLIP), DEFAULT) == squashed
    shortest = {**SIGLIP, "size": {"shortest_edge": 224}, "resample": 3, "image_std": [0.1, 0.2, 0.3]}
    found = read_preprocessing(write(tmp_path, shortest), squashed)
    assert found == Preprocessing(224, HALF.mean, (0.1, 0.2, 0.3), "shortest_side", "bicubic")
    # what the file omits follows the architecture
    assert read_preprocessing(write(tmp_path, {"resample": 1}), squashed) == squashed
    bare = read_preprocessing(write(tmp_path, {**SIGLIP, "do_normalize": False}), DEFAULT)
    assert (bare.mean, bare.std) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("mean", [0.5, [0.5, 0.5], ["a", 0, 0], None])
def test_invalid_statistics_are_rejected(mean: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"preprocessor_config\.json of .*: image_mean is .*three numbers"):
        read_preprocessing(write(tmp_path, {**SIGLIP, "image_mean": mean}), DEFAULT)


@pytest.mark.parametrize("resize", ["shortest_side", "squash"])
@pytest.mark.parametrize("filter_", ["bicubic", "bilinear"])
def test_written_preprocessing_is_read_back(resize: Any, filter_: Any, tmp_path: Path) -> None:
    expected = Preprocessing(48, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), resize, filter_)
    other = Preprocessing(48, CLIP.mean, CLIP.std)
    assert read_preprocessing(write(tmp_path, expected.as_image_processor()), other) == expected


@pytest.mark.parametrize(("size", "side"), [(224, 256), (336, 384), (48, 55), (384, 439)])
def test_short_side(size: int, side: int) -> None:
    assert Preprocessing(size, CLIP.mean, CLIP.std).default_short_side == side
    assert Preprocessing(size, CLIP.mean, CLIP.std, "squash").default_short_side == size


def test_statistics_follow_from_the_checkpoint_unless_they_are_set(tmp_path: Path) -> None:
    folder = tmp_path / "clip"
    shutil.copytree(tiny_clip_folder(), folder)
    assert (
        VideoCLIP(str(folder)).preprocessing
        == VideoCLIP("tiny").preprocessing
        == Preprocessing(48, CLIP.mean, CLIP.std)
    )
    write(folder, SIGLIP)
    expected = VideoCLIP(str(folder))
    assert pixel_statistics(expected.preprocessing) == "half"
    assert expected.preprocessing.resize == "squash"
    videos = torch.randint(0, 256, (1, 2, 3, 48, 48), dtype=torch.uint8)
    with torch.no_grad():
        for name in NAMED_STATISTICS:
            chosen = VideoCLIP(str(folder), pixel_statistics=name)
            assert pixel_statistics(chosen.preprocessing) == name
            assert torch.equal(chosen.encode_frames(videos), expected.encode_frames(videos)) == (name == "half")
        pair = VideoCLIP("tiny", pixel_statistics=PixelStatistics(HALF.mean, HALF.std))
        assert torch.equal(pair.encode_frames(videos), expected.encode_frames(videos))
    other = VideoCLIP("tiny", pixel_statistics=PixelStatistics((0.1, 0.1, 0.1), (0.2, 0.2, 0.2)))
    assert pixel_statistics(other.preprocessing) == {"mean": [0.1] * 3, "std": [0.2] * 3}
    # the folder of a tuned model records its statistics
    other.save_pretrained(tmp_path / "saved")
    assert VideoCLIP(str(tmp_path / "saved")).preprocessing == other.preprocessing


def test_a_damaged_image_processor_is_not_replaced_by_defaults(tmp_path: Path) -> None:
    assert read_preprocessing(str(tmp_path), DEFAULT) == DEFAULT  # without the file
    (tmp_path / "preprocessor_config.json").write_text('{"image_mean": ')
    with pytest.raises(CheckpointError, match=r"preprocessor_config.json can't be read .* Repair the file; or remove"):
        read_preprocessing(str(tmp_path), DEFAULT)


def test_the_settings_of_clips_are_saved_and_read(tmp_path: Path) -> None:
    known = replace(DEFAULT, frames=16, short_side=224, sample_aspect=False, filter="bilinear")
    known.save(tmp_path)
    assert json.loads((tmp_path / "clip_settings.json").read_text()) == {
        "frames": 16,
        "short_side": 224,
        "sample_aspect": False,
    }
    assert read_preprocessing(str(tmp_path), DEFAULT) == known
    assert (known.default_short_side, known.knows_clips) == (224, True)
    DEFAULT.save(tmp_path / "..")
    assert not (tmp_path.parent / "clip_settings.json").exists()  # nothing is claimed about an image model


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[8]",
        "{}",
        '{"frames": 0, "short_side": null, "sample_aspect": null}',
        '{"frames": "8", "short_side": 256, "sample_aspect": true}',
        '{"frames": 8, "short_side": 256, "sample_aspect": 1}',
    ],
)
def test_damaged_clip_settings_are_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "clip_settings.json").write_text(content)
    with pytest.raises(CheckpointError, match=r'clip_settings\.json .*Expected settings such as \{"frames": 8'):
        read_preprocessing(write(tmp_path, OPENAI), DEFAULT)


def test_what_a_model_expects_is_known_without_its_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = Preprocessing(48, HALF.mean, HALF.std, resize="squash", filter="bilinear", frames=8, short_side=60)
    shutil.copy(tiny_clip_folder() / "config.json", tmp_path)
    saved.save(tmp_path)
    for pretrained in ("tiny", str(tmp_path)):
        assert expected_preprocessing(pretrained) == encoder_class(pretrained).load_preprocessing(pretrained)
    assert expected_preprocessing(str(tmp_path)) == saved
    cached = {"config.json": str(tmp_path / "config.json"), "preprocessor_config.json": None}
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda _, name: cached[name])
    assert expected_preprocessing("some/model").resize == "shortest_side"
    (tmp_path / "config.json").write_text('{"model_type": "siglip", "vision_config": {"image_size": 48}}')
    assert expected_preprocessing("some/model") is None  # only its encoder knows that SigLIP squashes frames
    cached["config.json"] = None
    assert expected_preprocessing("some/model") is None
    for name, content in (("preprocessor_config.json", "{"), ("config.json", '{"model_type": "clip"}')):
        (tmp_path / name).write_text(content)
        assert expected_preprocessing(str(tmp_path)) is None
