import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ost_lightning.errors import UserError
from ost_lightning.video import EvaluationTransform, MultiScaleCrop, TrainingTransform


def still_clip(frames: int = 6, height: int = 48, width: int = 64) -> torch.Tensor:
    """One picture repeated: (1, T, 3, H, W)."""
    picture = torch.randint(0, 256, (3, height, width), dtype=torch.uint8)
    return picture.expand(1, frames, 3, height, width).contiguous()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_all_frames_of_a_clip_are_changed_alike(seed: int) -> None:
    torch.manual_seed(seed)
    augmented = TrainingTransform(32)(still_clip())
    assert augmented.shape == (1, 6, 3, 32, 32)
    assert augmented.dtype == torch.uint8
    assert bool((augmented == augmented[:, :1]).all())


def test_augmentation_follows_the_global_generator() -> None:
    clip = still_clip()
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        results.append(TrainingTransform(32)(clip))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_multi_scale_crop_uses_scales_and_places() -> None:
    clip = torch.zeros((2, 3, 100, 140), dtype=torch.uint8)
    crop = MultiScaleCrop(32)
    sizes, places = set(), set()
    for seed in range(400):
        torch.manual_seed(seed)
        params = crop.make_params([clip])
        sizes.add((params["height"], params["width"]))
        places.add((params["top"] > 0, params["left"] > 0))
        assert params["top"] + params["height"] <= 100
        assert params["left"] + params["width"] <= 140
    assert sizes == {
        (a, b) for i, a in enumerate((100, 87, 75, 66)) for j, b in enumerate((100, 87, 75, 66)) if abs(i - j) < 2
    }
    assert places == {(False, False), (False, True), (True, False), (True, True)}


def test_nothing_random_is_left_when_switched_off() -> None:
    clip = still_clip(height=64, width=64)
    plain = TrainingTransform(64, flip=0, colour_jitter=0, grayscale=0, scales=(1.0,))
    assert torch.equal(plain(clip), clip)


def test_flip_mirrors() -> None:
    clip = still_clip(height=64, width=64)
    mirrored = TrainingTransform(64, flip=1, colour_jitter=0, grayscale=0, scales=(1.0,))(clip)
    assert torch.equal(mirrored, clip.flip(-1))


def test_centre_crop() -> None:
    clips = torch.randint(0, 256, (2, 4, 3, 40, 60), dtype=torch.uint8)
    assert torch.equal(EvaluationTransform(32)(clips), clips[..., 4:36, 14:46])


@pytest.mark.parametrize("shape", [(40, 60), (60, 40)])
def test_three_crops_along_the_longer_side(shape: tuple[int, int]) -> None:
    clips = torch.randint(0, 256, (2, 4, 3, *shape), dtype=torch.uint8)
    crops = EvaluationTransform(32, 3)(clips)
    assert crops.shape == (6, 4, 3, 32, 32)
    wide = shape[1] > shape[0]
    for view in range(2):
        start, centre, end = (crops[3 * view + k] for k in range(3))
        expected = [
            clips[view, :, :, 4:36, a : a + 32] if wide else clips[view, :, :, a : a + 32, 4:36] for a in (0, 14, 28)
        ]
        for crop, reference in zip((start, centre, end), expected, strict=True):
            assert torch.equal(crop, reference)


def test_frames_smaller_than_the_square_are_refused() -> None:
    with pytest.raises(UserError, match="too small for a crop of 32"):
        EvaluationTransform(32)(torch.zeros((1, 2, 3, 30, 50), dtype=torch.uint8))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_rand_augment_changes_all_frames_of_a_clip_alike(seed: int) -> None:
    torch.manual_seed(seed)
    augmented = TrainingTransform(32, rand_augment=(2, 9))(still_clip())
    assert augmented.shape == (1, 6, 3, 32, 32)
    assert augmented.dtype == torch.uint8
    assert bool((augmented == augmented[:, :1]).all())


def test_rand_augment_follows_its_strength() -> None:
    clip = still_clip(height=64, width=64)

    def change(strength: int) -> float:
        transform = TrainingTransform(
            64, flip=0, colour_jitter=0, grayscale=0, scales=(1.0,), rand_augment=(1, strength)
        )
        total = 0.0
        for seed in range(60):
            torch.manual_seed(seed)
            total += float((transform(clip).float() - clip.float()).abs().mean())
        return total

    weak, strong = change(3), change(30)
    assert 0 < weak < strong
    with pytest.raises(UserError, match=r"rand_augment is \[2, 31\].*\(0 to 30\)"):
        TrainingTransform(32, rand_augment=(2, 31))


@pytest.mark.parametrize("each", [False, True])
def test_colour_jitter_changes_all_frames_alike_unless_asked(each: bool) -> None:
    frame = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
    clip = frame.expand(1, 4, 3, 40, 40).contiguous()
    (jittered,) = TrainingTransform(32, flip=0, colour_jitter=1, grayscale=0, jitter_each_frame=each, scales=[1])(clip)
    alike = all(torch.equal(jittered[0], other) for other in jittered[1:])
    assert alike is not each
