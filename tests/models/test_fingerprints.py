import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from ost_lightning.models import ClipKeys, VideoCLIP, exchanged_weights, frame_fingerprint, mixture_fingerprint
from ost_lightning.video import EvaluationClips, EvaluationTransform, FrameSampler, VideoRecord


@pytest.fixture
def video_clip() -> VideoCLIP:
    return VideoCLIP("tiny")


def test_equal_encoders_have_equal_fingerprints_whatever_their_source(tmp_path: Path, video_clip: VideoCLIP) -> None:
    video_clip.save_pretrained(tmp_path)
    again = VideoCLIP(str(tmp_path), freeze_vision=True, freeze_text=True).eval()
    assert frame_fingerprint(again, "fp32") == frame_fingerprint(video_clip, "fp32")


def test_everything_that_changes_frame_embeddings_changes_the_fingerprint(video_clip: VideoCLIP) -> None:
    found = [frame_fingerprint(video_clip, "fp32"), frame_fingerprint(video_clip, "bf16")]
    found.append(frame_fingerprint(VideoCLIP("tiny", pixel_statistics="imagenet"), "fp32"))
    found.append(frame_fingerprint(VideoCLIP("tiny", attention="eager"), "fp32"))
    for name, parameter in video_clip.named_parameters():
        if "vis" in name:
            with torch.no_grad():
                parameter.view(-1)[0] += 0.5
            found.append(frame_fingerprint(video_clip, "fp32"))
    video_clip.head = nn.Dropout(0.0)
    found.append(frame_fingerprint(video_clip, "fp32"))
    video_clip.head.p = 0.5  # a setting without weights
    found.append(frame_fingerprint(video_clip, "fp32"))
    assert len(set(found)) == len(found)


def test_text_weights_do_not_change_the_fingerprint(video_clip: VideoCLIP) -> None:
    before = frame_fingerprint(video_clip, "fp32")
    with torch.no_grad():
        for name, parameter in video_clip.named_parameters():
            if "vis" not in name:
                parameter += 0.5
    assert frame_fingerprint(video_clip, "fp32") == before


def test_exchanged_weights_determine_the_fingerprint(video_clip: VideoCLIP) -> None:
    other = {name: parameter.detach() + 0.1 for name, parameter in video_clip.named_parameters()}
    before = frame_fingerprint(video_clip, "")
    with exchanged_weights(video_clip, other):
        during = frame_fingerprint(video_clip, "")
    assert frame_fingerprint(video_clip, "") == before != during


def test_mixtures() -> None:
    assert mixture_fingerprint("a", "b", 0) == "b"
    assert mixture_fingerprint("a", "b", 1) == "a"
    assert mixture_fingerprint("a", "a", 0.3) == "a"
    others = {mixture_fingerprint(*pair, ratio) for pair in ("ab", "ba") for ratio in (0.2, 0.25)}
    assert len(others) == 4


def clips(record: VideoRecord, frames: int = 4, views: int = 1, size: int = 48, short_side: int = 54) -> ClipKeys:
    crops = EvaluationTransform(size, 3 if size == 40 else 1)
    return ClipKeys(
        EvaluationClips([record], sampler=FrameSampler(frames, views), transform=crops, short_side=short_side)
    )


def test_keys_of_clips(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    record = VideoRecord(path, 0, "a")
    keys = {clips(record).of(record)}
    for changed in (
        replace(record, start=1.0),
        replace(record, end=1.0),
        replace(record, id="b"),
    ):
        keys.add(clips(record).of(changed))
    for other in (clips(record, 8), clips(record, 4, 2), clips(record, size=40), clips(record, short_side=60)):
        keys.add(other.of(record))
    path.write_bytes(b"two!")
    keys.add(clips(record).of(record))
    os.utime(path, (5, 5))
    keys.add(clips(record).of(record))
    assert len(keys) == 10
    assert None not in keys
    path.unlink()
    assert clips(record).of(record) is None


@pytest.mark.parametrize("in_place", [True, False])
@pytest.mark.parametrize("frames", [True, False])
def test_exchanged_contents_are_noticed_although_size_and_time_are_kept(
    tmp_path: Path, frames: bool, in_place: bool
) -> None:
    """As `cp -p` (in place) and `rsync -t` (a new file under the old name) leave them."""
    file = tmp_path / "a" / "0.jpg" if frames else tmp_path / "a.mp4"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"one")
    record = VideoRecord(file.parent if frames else file, 0, "a")
    before, times = clips(record).of(record), file.stat()
    other = file if in_place else tmp_path / "other"
    other.write_bytes(b"two")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert clips(record).of(record) != before


def test_a_folder_of_frames_is_identified_by_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    for k in range(2):
        (folder / f"{k}.jpg").write_bytes(b"one")
    record = VideoRecord(folder, 0, "a")
    keys = [clips(record).of(record)]
    before = folder.stat()
    (folder / "1.jpg").write_bytes(b"two!")
    keys.append(clips(record).of(record))
    os.utime(folder / "0.jpg", (5, 5))
    keys.append(clips(record).of(record))
    assert (folder.stat().st_size, folder.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    (folder / "0.jpg").rename(folder / "2.jpg")
    keys.append(clips(record).of(record))
    assert len({*keys, None}) == 5
    assert clips(record).of(record) == keys[-1]


def test_labels_and_spellings_of_a_path_do_not_change_the_key(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"one")
    (tmp_path / "x").mkdir()
    record = VideoRecord(path, 0, "a")
    same = replace(record, label=1, path=tmp_path / "x" / ".." / "a.mp4")
    assert clips(record).of(record) == clips(record).of(same)
