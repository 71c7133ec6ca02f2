from dataclasses import replace
from typing import Any

import yaml

from ost_lightning.models.checkpoints.clip_record import read_clip_record, write_clip_record
from ost_lightning.models.encoders import NAMED_STATISTICS, Preprocessing

CLIP, IMAGENET = NAMED_STATISTICS["clip"], NAMED_STATISTICS["imagenet"]
OWN = Preprocessing(48, CLIP.mean, CLIP.std)
TRAINED = replace(OWN, frames=8, short_side=54, sample_aspect=True)


def test_round_trip() -> None:
    checkpoint: dict[str, Any] = {}
    write_clip_record(checkpoint, None)
    assert read_clip_record(checkpoint, OWN) is None
    other = replace(TRAINED, mean=IMAGENET.mean, std=IMAGENET.std, resize="squash", filter="bilinear")
    write_clip_record(checkpoint, other)
    assert read_clip_record(checkpoint, OWN) == other


def test_earlier_checkpoints_have_only_the_configuration() -> None:
    def read(statistics: object, **clips: object) -> Preprocessing | None:
        config = {
            "model": {"init_args": {"video_clip": {"init_args": {"pixel_statistics": statistics}}}},
            "data": {"init_args": {"clips": {"frames": 8, "short_side": 54, "sample_aspect": True, **clips}}},
        }
        return read_clip_record({"ost_config": yaml.safe_dump(config)}, OWN)

    assert read(None) == read("clip", resize="bicubic", framing="crop") == TRAINED
    assert read("imagenet") == replace(TRAINED, mean=IMAGENET.mean, std=IMAGENET.std)
    assert read({"mean": [0.1] * 3, "std": [0.2] * 3}) == replace(TRAINED, mean=(0.1,) * 3, std=(0.2,) * 3)
    squashed = read(None, framing="squash", resize="bilinear")
    assert squashed == replace(TRAINED, resize="squash", filter="bilinear")
    empty = "model: {init_args: {video_clip: null}}\ndata: {class_path: ToyWorld}"
    assert read_clip_record({"ost_config": empty}, OWN) is None
