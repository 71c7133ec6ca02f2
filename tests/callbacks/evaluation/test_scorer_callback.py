from typing import Any

import pytest
from lightning.pytorch import LightningModule, Trainer

from ost_lightning.callbacks.evaluation.scorer_callback import ScorerCallback
from ost_lightning.evaluation import SCORED, ScoredBatch, Scorer
from ost_lightning.matching import CategoryName
from ost_lightning.models import VideoCLIP
from ost_lightning.tasks import ContrastiveRecognition, RecognitionTask
from ost_lightning.vocabulary import AS_TRAINED

TRAINER = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)
SCORER = Scorer(AS_TRAINED, {}, CategoryName(), reported=False)


class Observer(ScorerCallback):
    """Callback that keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def observe(self, task: RecognitionTask, scored: ScoredBatch, batch: Any) -> None:
        self.seen.append((task, scored, batch))


@pytest.fixture(scope="module")
def task() -> ContrastiveRecognition:
    return ContrastiveRecognition(VideoCLIP("tiny"), CategoryName())


@pytest.mark.parametrize("end", ["test", "validation", "exception"])
def test_only_its_own_scorers_and_weights_are_removed_at_the_end(task: ContrastiveRecognition, end: str) -> None:
    task.scorers.clear()
    task.scorers["another callback's"] = SCORER
    callback = Observer()
    task.weight_sets.add_mixtures([0.5])
    callback.add_scorers(task, {"a": SCORER, "b": SCORER, "ensembled_0.5": SCORER})
    callback.remove_scorers(task, ["a", "another callback's"])
    assert list(task.scorers) == ["another callback's", "b", "ensembled_0.5"]
    if end == "exception":
        callback.on_exception(TRAINER, task, KeyboardInterrupt())
    else:
        getattr(callback, f"on_{end}_end")(TRAINER, task)
    assert list(task.scorers) == ["another callback's"]
    assert task.weight_sets.names == (AS_TRAINED,)


@pytest.mark.parametrize("stage", ["test", "validation"])
def test_batches_are_observed_only_with_scorers(task: ContrastiveRecognition, stage: str) -> None:
    callback, outputs = Observer(), {SCORED: object()}
    for _ in range(2):  # the second time after an evaluation
        getattr(callback, f"on_{stage}_batch_end")(TRAINER, task, {}, "a validation during training", 0)
        assert callback.seen == []
        callback.add_scorers(task, {"a": SCORER})
        getattr(callback, f"on_{stage}_batch_end")(TRAINER, task, outputs, "batch", 0)
        assert callback.seen == [(task, outputs[SCORED], "batch")]
        getattr(callback, f"on_{stage}_end")(TRAINER, task)
        callback.seen.clear()


def test_other_modules_have_nothing_to_remove() -> None:
    Observer().on_exception(TRAINER, LightningModule(), ValueError())
