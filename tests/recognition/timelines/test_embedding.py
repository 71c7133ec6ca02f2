"""Embedding of long videos with the tiny CLIP."""

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from ost_lightning import Recognizer
from ost_lightning.errors import UserError
from ost_lightning.models import PromptedVideoCLIP, TemporalTransformer, VideoCLIP, VideoPrompts
from ost_lightning.recognition.timelines import EmbeddedVideo, embedding
from ost_lightning.recognition.timelines.embedding import require_single_frames
from ost_lightning.video import EvaluationTransform, VideoReadError, open_video
from tests.videos import damage_packets, pictures, write_video


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer.load("tiny", ["juggling balls", "riding horse"], "cpu")


@pytest.fixture
def encoded(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of frames of each call of the encoder."""
    counts: list[int] = []
    encode: Callable[[Tensor], Tensor] = recognizer._video_clip.encode_frames

    def counted(frames: Tensor) -> Tensor:
        counts.append(len(frames.flatten(0, 1)))
        return encode(frames)

    monkeypatch.setattr(recognizer._video_clip, "encode_frames", counted)
    return counts


def expected_embeddings(recognizer: Recognizer, file: Path, indices: list[int]) -> Tensor:
    """Embeddings of frames as an evaluation reads and encodes them."""
    clips = recognizer.clips.geometry()
    transform = EvaluationTransform(clips.crop_size, 1, clips.framing)
    with open_video(file, sample_aspect=clips.sample_aspect, resize=clips.resize) as video:
        crops = video.read_crops(indices, clips.short_side, transform.crop_spec)
    with torch.inference_mode():
        return recognizer._video_clip.encode_frames(crops)[0]


@pytest.mark.parametrize("options", [{}, {"width": 48, "height": 80, "rotate": 90}])
def test_frames_of_the_grid_are_those_of_an_evaluation(
    recognizer: Recognizer, encoded: list[int], tmp_path: Path, options: dict[str, int]
) -> None:
    file = write_video(tmp_path / "long.mp4", 110, **options)  # type: ignore[arg-type]
    video = recognizer.embed(file)
    # 25 frames per second: a quarter of a second is 6.25 frames
    indices = [int(6.25 * step) for step in range(18)]
    assert encoded == [18]
    assert video.duration == pytest.approx(4.4)
    assert video.rows.tolist() == list(range(18))
    torch.testing.assert_close(video.embeddings, expected_embeddings(recognizer, file, indices), atol=1e-5, rtol=1e-5)


def test_a_video_with_few_frames_has_each_embedded_once(
    recognizer: Recognizer, encoded: list[int], tmp_path: Path
) -> None:
    file = write_video(tmp_path / "slides.mp4", 4, ticks=[0, 30, 100, 300])
    video = recognizer.embed(file, rate=2)
    assert encoded == [4]
    assert video.rows.tolist()[:7] == [0, 1, 2, 2, 2, 2, 3]
    torch.testing.assert_close(
        video.embeddings, expected_embeddings(recognizer, file, [0, 1, 2, 3]), atol=1e-5, rtol=1e-5
    )


def test_one_frame_is_a_video_of_one_step(recognizer: Recognizer, tmp_path: Path) -> None:
    video = recognizer.embed(write_video(tmp_path / "one.mp4", 1))
    assert video.rows.tolist() == [0]
    assert video.duration == pytest.approx(1 / 25)
    assert len(recognizer.stretch_scores(video).spans) == 1


def test_memory_does_not_grow_with_the_length(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive, most = 0, 0
    stream = embedding.stream_readable
    encode = recognizer._video_clip.encode_frames

    def counted(*arguments: object) -> object:
        nonlocal alive, most
        for item in stream(*arguments):  # type: ignore[arg-type]
            alive += 1
            most = max(most, alive)
            yield item

    def released(frames: Tensor) -> Tensor:
        nonlocal alive
        alive -= len(frames)
        return encode(frames)

    monkeypatch.setattr(embedding, "stream_readable", counted)
    monkeypatch.setattr(recognizer._video_clip, "encode_frames", released)
    video = recognizer.embed(write_video(tmp_path / "long.mp4", 400), rate=25)
    assert len(video.embeddings) == 400
    assert most <= 2 * embedding._BATCH


def test_a_damaged_part_is_a_gap_and_the_rest_goes_on(recognizer: Recognizer, tmp_path: Path) -> None:
    good = write_video(tmp_path / "good.mp4", 300, options={"g": "25", "keyint_min": "25", "sc_threshold": "0"})
    whole, video = recognizer.embed(good), recognizer.embed(damage_packets(good, [150]))
    (gap,) = video.gaps
    assert 6 <= gap.start < gap.end <= 7
    assert gap.reason == "Invalid data found when processing input"
    lost = [step for step in range(48) if gap.start <= step / 4 < gap.end]
    assert (video.rows == -1).nonzero().flatten().tolist() == lost
    kept = [step for step in range(48) if step not in lost]
    torch.testing.assert_close(
        video.embeddings[video.rows[kept]], whole.embeddings[whole.rows[kept]], atol=1e-5, rtol=1e-5
    )
    timeline = recognizer.timeline(video)
    assert timeline.gaps == (gap,)
    assert all(segment.end <= gap.start or segment.start >= gap.end for segment in timeline.detections)


def test_a_folder_of_frames_needs_a_frame_rate(recognizer: Recognizer, tmp_path: Path) -> None:
    for number, picture in enumerate(pictures(10)):
        Image.fromarray(np.asarray(picture)).save(tmp_path / f"{number}.png")
    with pytest.raises(VideoReadError, match=r"a folder of frames has no times: give its frame rate \(frame_rate\)"):
        recognizer.embed(tmp_path)
    video = recognizer.embed(tmp_path, rate=2, frame_rate=5)
    assert video.duration == 2
    assert video.rows.tolist() == [0, 1, 2, 3]
    assert recognizer.timeline(video).conditions["frame_rate"] == 5
    expected = expected_embeddings(recognizer, tmp_path, [0, 2, 5, 7])
    torch.testing.assert_close(video.embeddings, expected, atol=1e-5, rtol=1e-5)


def test_other_weights_refuse_embeddings_by_digest(recognizer: Recognizer, tmp_path: Path) -> None:
    file = write_video(tmp_path / "clip.mp4", 30)
    video = recognizer.embed(file)
    file.unlink()
    other_labels = Recognizer.load("tiny", ["archery"], "cpu")
    assert other_labels.timeline(video).classes == ("archery",)
    other_weights = Recognizer.load("tiny", ["archery"], "cpu")
    with torch.no_grad():
        next(other_weights._video_clip.parameters()).add_(0.1)
    with pytest.raises(UserError, match=rf"clip\.mp4 was embedded with other weights .* \(digest {video.digest}"):
        other_weights.timeline(video)


def test_encoders_that_relate_frames_are_refused() -> None:
    with pytest.raises(UserError, match="tiny has a temporal head, which relates the frames of a clip"):
        require_single_frames(VideoCLIP("tiny", temporal_head=TemporalTransformer))
    with pytest.raises(UserError, match="tiny has a vision tower with learned prompts, which relates the frames"):
        require_single_frames(PromptedVideoCLIP("tiny", vision_prompts=VideoPrompts))


def write_sound(file: Path) -> Path:
    with av.open(str(file), "w") as output:
        stream = output.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file


def test_what_is_no_video_is_refused_by_name(recognizer: Recognizer, tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_bytes(b"no video")
    for file in (write_sound(tmp_path / "sound.mp4"), text, tmp_path / "missing.mp4"):
        with pytest.raises(VideoReadError, match=file.name):
            recognizer.timeline(file)


@pytest.mark.parametrize("rates", [{"rate": 0.0}, {"rate": float("inf")}, {"frame_rate": -1.0}])
def test_rates_out_of_range_are_refused(recognizer: Recognizer, rates: dict[str, float]) -> None:
    (name,) = rates
    with pytest.raises(UserError, match=f"The {name} is"):
        recognizer.embed("any.mp4", **rates)


def test_an_embedded_video_is_returned_unchanged(recognizer: Recognizer, tmp_path: Path) -> None:
    video = recognizer.embed(write_video(tmp_path / "clip.mp4", 30))
    video.save(tmp_path / "clip.safetensors")
    assert recognizer.embed(video) is video
    loaded = EmbeddedVideo.load(tmp_path / "clip.safetensors")
    torch.testing.assert_close(recognizer.stretch_scores(loaded).evidence, recognizer.stretch_scores(video).evidence)


def test_a_part_is_looked_at_and_the_rest_is_unknown(
    recognizer: Recognizer, encoded: list[int], tmp_path: Path
) -> None:
    file = write_video(tmp_path / "long.mp4", 250)
    whole = recognizer.embed(file)
    encoded.clear()
    part = recognizer.embed(file, part=(2.0, 7.0))
    assert sum(encoded) == 20
    assert part.runs() == [(8, 28)]
    assert part.duration == whole.duration
    assert [(gap.start, gap.end, gap.reason) for gap in part.gaps] == [
        (0, 2, "not looked at"),
        (7, whole.duration, "not looked at"),
    ]
    assert torch.allclose(part.embeddings[part.rows[8:28]], whole.embeddings[whole.rows[8:28]], atol=1e-6)
    found = recognizer.timeline(part)
    assert all(2 <= segment.start < segment.end <= 7 for segment in found.detections)


@pytest.mark.parametrize("part", [(2.0, 1.0), (-1.0, 2.0), (20.0, 30.0)])
def test_a_part_outside_the_video_is_refused(recognizer: Recognizer, tmp_path: Path, part: tuple[float, float]) -> None:
    file = write_video(tmp_path / "long.mp4", 110)
    with pytest.raises(UserError, match=rf"There is no part from {part[0]} to {part[1]} s in a video of 4.4 s"):
        recognizer.embed(file, part=part)
