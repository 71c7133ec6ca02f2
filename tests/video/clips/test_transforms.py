import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as F

from ost_lightning.errors import UserError
from ost_lightning.pytorchvideo_compat import uniform_crop
from ost_lightning.video import Box, CropSpec, EvaluationTransform, MultiScaleCrop, TrainingTransform
from ost_lightning.video.clips import check_crop_size

WIDTHS = (256, 341, 343, 344, 455)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def still_clips(clips: int = 1, frames: int = 6) -> torch.Tensor:
    """Repeats one picture: (B, 1, T, 3, S, S)."""
    picture = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    return picture.expand(clips, 1, frames, 3, 32, 32).contiguous()


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_all_frames_of_a_clip_change_in_the_same_way(seed: int) -> None:
    changed = TrainingTransform(32)(still_clips(), [seed])
    assert changed.shape == (1, 1, 6, 3, 32, 32)
    assert changed.dtype == torch.uint8
    assert bool((changed == changed[:, :, :1]).all())


def test_colors_depend_on_the_clips_seed_only() -> None:
    clips, transform = still_clips(3), TrainingTransform(32, color_jitter=1)
    together = transform(clips.clone(), [3, 4, 3])
    assert torch.equal(together[0], together[2])
    assert not torch.equal(together[0], together[1])
    torch.rand(17)  # the state of the global generator does not matter
    assert torch.equal(transform(clips[:1].clone(), [4])[0], together[1])


def test_changing_colors_leaves_the_global_generator_alone() -> None:
    clips = still_clips()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    TrainingTransform(32, color_jitter=1)(clips, [9])
    assert torch.equal(torch.rand(3), expected)


def test_colors_are_those_of_torchvision() -> None:
    clips = still_clips()
    gray = TrainingTransform(32, color_jitter=0, grayscale=1)(clips.clone(), [0])
    assert torch.equal(gray[0, 0], F.rgb_to_grayscale(clips[0, 0], num_output_channels=3))
    plain = TrainingTransform(32, color_jitter=0, grayscale=0)(clips.clone(), [0])
    assert torch.equal(plain, clips)


def test_multi_scale_crop_uses_all_scales_and_positions() -> None:
    crop, source = MultiScaleCrop(), generator()
    boxes = [crop.draw(100, 140, source) for _ in range(400)]
    assert {(box.height, box.width) for box in boxes} == {
        (a, b) for i, a in enumerate((100, 87, 75, 66)) for j, b in enumerate((100, 87, 75, 66)) if abs(i - j) < 2
    }
    assert {(box.top > 0, box.left > 0) for box in boxes} == {
        (False, False),
        (False, True),
        (True, False),
        (True, True),
    }
    assert all(box.top + box.height <= 100 and box.left + box.width <= 140 for box in boxes)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_training_crops_depend_on_their_generator_only(flip: float) -> None:
    transform = TrainingTransform(48, flip=flip)
    drawn = [transform.crop_spec(100, 140, generator(seed)) for seed in (3, 3, 4, 5)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    assert all(spec.side == 48 and spec.flip == bool(flip) and len(spec.boxes) == 1 for spec in drawn)


def test_center_crop() -> None:
    spec = EvaluationTransform(32).crop_spec(40, 60)
    assert (spec.boxes, spec.side, spec.flip) == ((Box(4, 14, 32, 32),), 32, False)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (33, 71)])
def test_three_crops_along_the_longer_side(shape: tuple[int, int]) -> None:
    frames = torch.randint(0, 256, (3, 4, *shape), dtype=torch.uint8)
    boxes = EvaluationTransform(32, 3).crop_spec(*shape).boxes
    for position, box in enumerate(boxes):
        crop = frames[..., box.top : box.top + box.height, box.left : box.left + box.width]
        assert torch.equal(crop, uniform_crop(frames, 32, position))


@pytest.mark.parametrize("offsets", ["round", "floor"])
def test_rounding_of_the_center_crop(offsets: str) -> None:
    transform = EvaluationTransform(224, offsets=offsets)
    lefts = {width: transform.crop_spec(256, width).boxes[0].left for width in WIDTHS}
    rounded = {256: 16, 341: 58, 343: 60, 344: 60, 455: 116}
    assert lefts == ({width: (width - 224) // 2 for width in WIDTHS} if offsets == "floor" else rounded)
    (upright,) = transform.crop_spec(455, 257).boxes
    assert upright == (Box(115, 16, 224, 224) if offsets == "floor" else Box(116, 16, 224, 224))


@pytest.mark.parametrize("shape", [(224, 299), (224, 300), (398, 224), (399, 224), (224, 224)])
def test_three_crops_of_the_released_code(shape: tuple[int, int]) -> None:
    """Offsets as mmaction2's `ThreeCrop` computes them: steps of half the free space, rounded down."""
    step = (max(shape) - 224) // 2
    expected = {(0, offset) if shape[0] == 224 else (offset, 0) for offset in (0, step, 2 * step)}
    boxes = EvaluationTransform(224, 3, offsets="floor").crop_spec(*shape).boxes
    assert len(boxes) == 3
    assert {(box.top, box.left) for box in boxes} == expected
    assert all((box.height, box.width) == (224, 224) for box in boxes)


@pytest.mark.parametrize("shape", [(256, 341), (256, 455), (343, 256), (48, 63)])
def test_training_crops_at_the_positions_of_the_released_code(shape: tuple[int, int]) -> None:
    height, width = shape
    crop, source = MultiScaleCrop(offsets="floor"), generator()
    for box in (crop.draw(height, width, source) for _ in range(400)):
        down, right = (height - box.height) // 4, (width - box.width) // 4
        corners = {(top * down, left * right) for top in (0, 4) for left in (0, 4)}
        assert (box.top, box.left) in corners | {(2 * down, 2 * right)}


def test_frames_smaller_than_the_crop_are_refused() -> None:
    with pytest.raises(UserError, match=r"clips\.short_side is 30, too small for a crop of 32 \(clips\.crop_size\)"):
        EvaluationTransform(32).crop_spec(30, 50)


@settings(max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_rand_augment_changes_all_frames_of_a_clip_in_the_same_way(seed: int) -> None:
    augmented = TrainingTransform(32, rand_augment=(2, 9))(still_clips(), [seed])
    assert augmented.dtype == torch.uint8
    assert bool((augmented == augmented[:, :, :1]).all())


def test_before_the_crop_frames_of_any_shape_change_by_their_seed_alone() -> None:
    transform = TrainingTransform(32, color_jitter=0, grayscale=0, rand_augment=(2, 20), rand_augment_before_crop=True)
    frames = torch.randint(0, 256, (1, 3, 40, 53), dtype=torch.uint8).expand(4, -1, -1, -1)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    changed = [transform.change_frames(frames, seed) for seed in (3, 4, 3, 2**64 - 1)]
    assert torch.equal(torch.rand(3), expected)
    assert changed[0].shape == frames.shape
    assert bool((changed[0] == changed[0][:1]).all())
    assert torch.equal(changed[0], changed[2])
    assert not torch.equal(changed[0], changed[1])
    # crops are not changed once more
    clips = still_clips()
    assert torch.equal(transform(clips.clone(), [3]), clips)
    crops = TrainingTransform(32, rand_augment=(2, 20))
    assert (transform.changes_frames, crops.changes_frames) == (True, False)
    assert torch.equal(crops.change_frames(frames, 3), frames)


def test_rand_augment_grows_with_its_magnitude() -> None:
    clips = still_clips()

    def change(magnitude: int) -> float:
        transform = TrainingTransform(32, color_jitter=0, grayscale=0, rand_augment=(1, magnitude))
        changed = (transform(clips.clone(), [seed]).float() - clips.float() for seed in range(60))
        return sum(float(difference.abs().mean()) for difference in changed)

    weak, strong = change(3), change(30)
    assert 0 < weak < strong
    with pytest.raises(UserError, match=r"rand_augment is \[2, 31\].*\(0 to 30\)"):
        TrainingTransform(32, rand_augment=(2, 31))


@pytest.mark.parametrize("each", [False, True])
def test_color_jitter_differs_between_frames_on_request_only(each: bool) -> None:
    frame = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
    clips = frame.expand(1, 1, 4, 3, 40, 40).contiguous()
    transform = TrainingTransform(40, flip=0, color_jitter=1, grayscale=0, jitter_each_frame=each)
    jittered = transform(clips, seeds=[7])[0, 0]
    same = all(torch.equal(jittered[0], other) for other in jittered[1:])
    assert same is not each


def test_squashing_keeps_the_whole_frame() -> None:
    spec = EvaluationTransform(32, framing="squash").crop_spec(20, 60)
    assert (spec.boxes, spec.side, spec.flip) == ((Box(0, 0, 20, 60),), 32, False)
    training = TrainingTransform(32, flip=1, framing="squash")
    drawn = {training.crop_spec(20, 60, generator(seed)) for seed in range(20)}
    assert drawn == {CropSpec((Box(0, 0, 20, 60),), 32, flip=True)}


def test_unknown_and_impossible_framings_are_refused() -> None:
    for make in (EvaluationTransform, TrainingTransform):
        with pytest.raises(UserError, match=r"framing is 'pad'; expected one of crop, squash"):
            make(32, framing="pad")
    with pytest.raises(UserError, match=r"3 crops were requested, .* set clips\.crops to 1"):
        EvaluationTransform(32, 3, framing="squash")


@pytest.mark.parametrize(("side", "short_side"), [(224, 256), (224, 448), (48, 54), (224, 224)])
def test_crops_of_half_the_short_side_and_more_are_fine(side: int, short_side: int) -> None:
    check_crop_size(side, short_side)
    assert EvaluationTransform(side).crop_spec(short_side, 500).side == side


def test_a_crop_that_shows_little_of_the_frame_is_refused() -> None:
    message = r"clips\.crop_size is 48 with .*short_side 256, .* 19 % of .* leave clips\.short_side out, .* about 55"
    with pytest.raises(UserError, match=message):
        check_crop_size(48, 256)
    with pytest.raises(UserError, match="shows 49 %"):
        check_crop_size(223, 448 + 5)
    with pytest.raises(UserError, match=message):
        EvaluationTransform(48, 3).crop_spec(340, 256)
    check_crop_size(48, 256, "squash")
    TrainingTransform(48).crop_spec(256, 340, generator())  # training crops scale with the short side
