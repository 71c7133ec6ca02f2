import pytest
import torch

from ost_lightning.evaluation import WeightSets, mixture_name
from ost_lightning.models import VideoCLIP, ensemble_weights


@pytest.fixture
def video_clip() -> VideoCLIP:
    clip = VideoCLIP("tiny").eval()
    with torch.no_grad():
        for parameter in clip.parameters():
            parameter.mul_(1.1)
    return clip


def weights_of(clip: VideoCLIP) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(clip.parameters()).detach().clone()


def test_weights_are_exchanged_for_a_block_and_restored_after_an_error(video_clip: VideoCLIP) -> None:
    tuned, sets = weights_of(video_clip), WeightSets(video_clip)
    assert sets.add_mixtures([0.25]) == {0.25: "ensembled_0.25"}
    mixture = ensemble_weights(video_clip.original_parameters(), dict(video_clip.named_parameters()), 0.25)
    with sets.with_weights("ensembled_0.25"):
        assert all(torch.equal(weight, mixture[name]) for name, weight in video_clip.named_parameters())
    with pytest.raises(RuntimeError, match="in between"), sets.with_weights("ensembled_0.25"):
        raise RuntimeError("in between")
    assert torch.equal(weights_of(video_clip), tuned)
    with sets.with_weights("as trained"):
        assert torch.equal(weights_of(video_clip), tuned)


@torch.no_grad()
def test_mixed_precision_does_not_reuse_previous_weights(video_clip: VideoCLIP) -> None:
    """Autocast caches a parameter's bf16 copy while its context is active."""
    sets = WeightSets(video_clip)
    (name,) = sets.add_mixtures([1.0]).values()
    frames = torch.randint(0, 256, (1, 2, 3, 48, 48), dtype=torch.uint8)
    with torch.autocast("cpu", torch.bfloat16):
        tuned = video_clip.encode_frames(frames)
    with sets.with_weights(name), torch.autocast("cpu", torch.bfloat16):
        mixed = video_clip.encode_frames(frames)
    assert not torch.equal(tuned, mixed)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(video_clip.encode_frames(frames), tuned)
        with sets.with_weights(name):
            assert torch.equal(video_clip.encode_frames(frames), mixed)
        assert torch.equal(video_clip.encode_frames(frames), tuned)


def test_names_and_fingerprints(video_clip: VideoCLIP) -> None:
    sets = WeightSets(video_clip)
    alone = sets.fingerprints("32 cpu")
    assert list(alone) == ["as trained"]
    sets.add_mixtures([0.2, 1.0])
    assert sets.names == ("as trained", "ensembled_0.2", "ensembled_1")
    found = sets.fingerprints("32 cpu")
    assert found["as trained"] == alone["as trained"]
    assert len(set(found.values())) == 3
    original = WeightSets(VideoCLIP("tiny").eval()).fingerprints("32 cpu")
    assert found["ensembled_1"] == original["as trained"]
    assert WeightSets(video_clip).fingerprints("bf16 cpu") != alone
    assert not sets.untuned
    assert sets.equivalent("ensembled_0.2") == "ensembled_0.2"
    with pytest.raises(ValueError, match=r"mixture with ratio 0\.2 of the original weights already exists"):
        sets.add_mixtures([0.2])
    sets.remove(["ensembled_0.2", "ensembled_1", "unknown", "as trained"])
    assert sets.names == ("as trained",)
    assert mixture_name(0.20) == "ensembled_0.2"


def test_mixtures_of_untuned_weights_are_equivalent_to_them() -> None:
    sets = WeightSets(VideoCLIP("tiny").eval())
    assert not sets.untuned
    sets.add_mixtures([0.5])
    assert sets.untuned
    assert sets.equivalent("ensembled_0.5") == "as trained"


def test_an_average_is_a_set_of_its_own(video_clip: VideoCLIP) -> None:
    sets, tuned = WeightSets(video_clip), weights_of(video_clip)
    average = {name: weight.detach() / 2 for name, weight in video_clip.named_parameters()}
    sets.add_average("averaged", average)
    sets.add_mixtures([0.2])
    assert sets.names == ("as trained", "ensembled_0.2", "averaged")
    found = sets.fingerprints("32 cpu")
    assert len(set(found.values())) == 3
    with sets.with_weights("averaged"):
        torch.testing.assert_close(weights_of(video_clip), tuned / 2)
        assert WeightSets(video_clip).fingerprints("32 cpu")["as trained"] == found["averaged"]
    assert sets.equivalent("averaged") == "averaged"
    with pytest.raises(ValueError, match="a set of weights named averaged already exists"):
        sets.add_average("averaged", average)
    sets.remove(["averaged"])
    assert sets.names == ("as trained", "ensembled_0.2")
    name = next(iter(average))
    with pytest.raises(ValueError, match=f"{name} is missing or differs in shape"):
        sets.add_average("averaged", {**average, name: torch.zeros(1)})
