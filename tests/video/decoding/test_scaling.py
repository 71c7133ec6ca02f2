from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import interpolate
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as F

from ost_lightning.video import (
    Box,
    CropSpec,
    EvaluationTransform,
    TrainingTransform,
    VideoReader,
    open_video,
    read_frames,
)
from ost_lightning.video.decoding import ResizeFilter
from ost_lightning.video.decoding.scaling import FrameScaler
from tests.videos import decode_all, write_video


def test_non_square_pixels_are_resampled_to_square_ones(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", 4, aspect=Fraction(4, 3))
    assert read_frames(path, [1], None).shape == (1, 3, 48, 85)
    assert read_frames(path, [1], 24).shape == (1, 3, 24, 42)
    with open_video(path, sample_aspect=False) as video:
        assert torch.equal(video.read([1]), torch.from_numpy(decode_all(path))[1:2])


@pytest.mark.parametrize(
    ("size", "expected"), [((64, 48), (42, 32)), ((48, 64), (32, 42)), ((33, 33), (32, 32)), ((320, 41), (249, 32))]
)
def test_short_side_keeps_the_aspect(folder: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
    path = write_video(folder / f"{size[0]}x{size[1]}.mp4", 3, width=size[0], height=size[1], pixels="yuv444p")
    frames = read_frames(path, [0, 2], short_side=32)
    assert frames.dtype == torch.uint8
    assert frames.shape == (2, 3, expected[1], expected[0])


@pytest.mark.parametrize("source", ["x264.mp4", "folder"])
def test_resize_filters_match_their_names(tmp_path: Path, source: str) -> None:
    edges = np.kron(np.random.default_rng(0).integers(40, 210, (3, 6, 8, 1)), np.ones((1, 8, 8, 3))).astype(np.uint8)
    path = write_video(tmp_path / "x264.mp4", 3, shots=edges, options={"crf": "0"})
    original = torch.from_numpy(decode_all(path).copy()).float()
    if source == "folder":
        path = tmp_path / "frames"
        path.mkdir()
        for k, picture in enumerate(original.byte()):
            Image.fromarray(picture.permute(1, 2, 0).numpy()).save(path / f"{k}.png")
    expected = {mode: interpolate(original, (120, 160), mode=mode) for mode in ("bilinear", "bicubic")}
    for mode, other in (("bilinear", "bicubic"), ("bicubic", "bilinear")):
        with open_video(path, resize=mode) as video:
            whole = video.read(range(3), 120).float()
            crops = video.read_crops(range(3), 120, lambda height, width: CropSpec((Box(0, 40, 120, 120),), 120))
        for found, box in ((whole, slice(None)), (crops[0].float(), slice(40, 160))):
            error, others = ((found - expected[name][..., box]).abs().mean() for name in (mode, other))
            assert error < 0.8 * others


def test_resized_frames_resemble_the_original(folder: Path) -> None:
    path = write_video(folder / "large.mp4", 2, width=256, height=192)
    small = read_frames(path, [1], short_side=48).float()
    original = read_frames(path, [1], short_side=None).float()
    reference = torch.nn.functional.interpolate(original, size=(48, 64), mode="area")
    assert float((small - reference).abs().mean()) < 6


@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(4, 3)])
def test_a_crop_is_part_of_the_whole_frame(folder: Path, rotate: int, aspect: Fraction) -> None:
    ramps = np.zeros((4, 120, 160, 3), np.uint8)  # red encodes the column, green the row
    ramps[..., 0], ramps[..., 1] = np.linspace(30, 220, 160), np.linspace(30, 220, 120)[:, None]
    path = folder / f"part{rotate}{aspect.numerator}.mp4"
    write_video(path, width=160, height=120, rotate=rotate, aspect=aspect, shots=ramps, options={"crf": "5"})
    seen: list[tuple[int, int]] = []

    def crops(height: int, width: int) -> CropSpec:
        seen.append((height, width))
        return CropSpec((Box(8, 4, 48, 48), Box(height - 40, width - 56, 40, 56)), 48)

    with VideoReader(path) as video:
        whole = video.read([3, 1], 96)
        parts = video.read_crops([3, 1], 96, crops)
    assert seen == [tuple(whole.shape[2:])]
    assert parts.shape == (2, 2, 3, 48, 48)
    corner = whole[..., -40:, -56:].float()
    resized = torch.nn.functional.interpolate(corner, (48, 48), mode="bicubic", antialias=True)
    for part, expected in ((parts[0], whole[..., 8:56, 4:52].float()), (parts[1], resized)):
        # to within a pixel, which is one step of the ramps
        assert float((part.float() - expected).abs().mean()) < 2
        assert float((part.float() - expected).abs().max()) < 15


def test_an_unscaled_crop_is_exact_and_can_be_mirrored(folder: Path) -> None:
    path = write_video(folder / "exact.mp4", 4)
    with VideoReader(path) as video:
        whole = video.read([2])
        part = video.read_crops([2], 48, lambda height, width: CropSpec((Box(7, 5, 32, 32),), 32, flip=True))
    assert torch.equal(part[0], whole[..., 7:39, 5:37].flip(-1))


@pytest.mark.parametrize("resize", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("rotate", "aspect"), [(0, Fraction(1)), (90, Fraction(1)), (0, Fraction(4, 3))])
@pytest.mark.parametrize("side", [48, 150])
def test_squashed_frames_are_torchvisions_resize_of_the_whole_frame(
    tmp_path: Path, resize: ResizeFilter, rotate: int, aspect: Fraction, side: int
) -> None:
    blocks = np.kron(np.random.default_rng(1).integers(40, 160, (2, 6, 8, 1)), np.ones((1, 20, 20, 3)))
    ramps = np.stack(np.broadcast_arrays(np.linspace(0, 50, 160), np.linspace(50, 0, 120)[:, None], 20), axis=-1)
    shots, size = (blocks + ramps).astype(np.uint8), {"width": 160, "height": 120}
    path = write_video(tmp_path / "a.mp4", rotate=rotate, aspect=aspect, shots=shots, options={"crf": "5"}, **size)
    mode = {"bicubic": InterpolationMode.BICUBIC, "bilinear": InterpolationMode.BILINEAR}[resize]
    with open_video(path, sample_aspect=False) as video:
        expected = F.resize(video.read([1, 0]), [side, side], interpolation=mode, antialias=True).float()
    for short_side in (64, 256):  # does not affect squashed frames
        with open_video(path, resize=resize) as video:
            found = video.read_crops([1, 0], short_side, EvaluationTransform(side, framing="squash").crop_spec)
        assert found.shape == (1, 2, 3, side, side)
        assert float((found[0].float() - expected).abs().mean()) < 2


def test_a_squashed_frame_is_mirrored_in_training(folder: Path) -> None:
    path = write_video(folder / "squash.mp4", 4)
    with open_video(path) as video:
        plain, mirrored = (
            video.read_crops(
                [2, 0],
                48,
                partial(TrainingTransform(32, flip=flip, framing="squash").crop_spec, generator=torch.Generator()),
            )
            for flip in (0, 1)
        )
        evaluated = video.read_crops([2, 0], 48, EvaluationTransform(32, framing="squash").crop_spec)
    assert torch.equal(plain, evaluated)
    assert torch.equal(mirrored, evaluated.flip(-1))


@pytest.mark.parametrize(("aspect", "width"), [(1.5, 96), (0.05, 64), (50, 64)])
def test_absurd_pixel_aspects_are_ignored(aspect: float, width: int) -> None:
    assert FrameScaler(aspect).size(av.VideoFrame(64, 48, "rgb24"), None) == (48, width)
