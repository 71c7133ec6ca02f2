"""No step makes the host wait for the device.

The device is `meta`, whose tensors have no values. Whatever would wait for a value on a GPU is an error there: reading
a number, choosing rows by a mask, finding distinct labels, copying to the host.
"""

from contextlib import nullcontext

import pytest
import torch

from ost_lightning.evaluation import EmbeddedBatch, Evaluation, EvaluationSet, WeightSets
from ost_lightning.matching import CategoryName
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition, RecognitionTask, SupervisedRecognition
from ost_lightning.toyworld.dataset import label_space
from ost_lightning.video import ClipBatch

META = torch.device("meta")


@pytest.fixture(autouse=True)
def _without_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # doesn't know the device


def batch(decoded: tuple[bool, ...] = (True,) * 4) -> ClipBatch:
    frames = torch.zeros(4, 1, 3, 3, 48, 48, dtype=torch.uint8)
    return ClipBatch(frames, torch.tensor([1, 5, 5, 2]), torch.tensor(decoded), tuple("abcd")).to(META)


def trained(kind: type[RecognitionTask]) -> RecognitionTask:
    task = kind(VideoCLIP("tiny"), CategoryName())
    task.log = lambda *_, **__: None
    task._training_tokens = task.tokenize(label_space(0, "seen"))
    return task.to(META)


@pytest.mark.parametrize("kind", [ContrastiveRecognition, SupervisedRecognition])
def test_a_training_step(kind: type[RecognitionTask]) -> None:
    task = trained(kind)
    loss = task.training_step(batch(), 0)
    assert loss.device == META
    loss.backward()
    torch.optim.AdamW(task.parameters()).step()


def test_labels_on_the_device_would_be_waited_for() -> None:
    task, clips = trained(ContrastiveRecognition), batch()
    with pytest.raises(NotImplementedError, match="meta tensor"):
        task.loss([clips.frames], [clips.labels], task.training_tokens)


@pytest.mark.parametrize("decoded", [(True,) * 4, (True, False, True, False)])
def test_an_evaluation_step(decoded: tuple[bool, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    task = trained(ContrastiveRecognition)
    sets = [EvaluationSet("own", label_space(0, "unseen"), listed=4)]
    evaluation = Evaluation(task.video_clip, sets, {"own": task.scorer(sets)}, WeightSets(task.video_clip), META)
    with torch.inference_mode():
        scored = evaluation.score(batch(decoded), 0)
        evaluation.count(scored)
    assert scored.probabilities["own"].shape == (sum(decoded), 20)
    assert scored.probabilities["own"].device == META


@pytest.mark.parametrize("decoded", [(True, True, True), (True, False, True), (False, False, False)])
def test_labels_of_readable_videos(decoded: tuple[bool, ...]) -> None:
    videos = EmbeddedBatch({}, torch.tensor([3, 4, 5]), torch.tensor(decoded), tuple("abc"))
    kept = [label for label, readable in zip((3, 4, 5), decoded, strict=True) if readable]
    assert videos.readable_labels.tolist() == kept
