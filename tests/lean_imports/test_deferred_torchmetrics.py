"""Torchmetrics whose import is deferred, in a process that hasn't imported it."""

import subprocess
import sys

from tests.processes import environment

PROGRAM = """
import pickle, sys
from ost_lightning.lean_imports.deferred_torchmetrics import defer_torchmetrics

defer_torchmetrics()
import torch
import torchmetrics
from torchmetrics import Metric, MetricCollection
from ost_lightning.evaluation.metrics import RecognitionAccuracy

assert not {"matplotlib", "scipy", "torchmetrics.functional", "torchvision"} & sys.modules.keys()
assert torchmetrics.__version__ and not hasattr(torchmetrics, "__wrapped__")
metric = pickle.loads(pickle.dumps(RecognitionAccuracy()))
metric.update(torch.eye(3), torch.tensor([0, 1, 0]))
assert isinstance(metric, Metric) and round(float(metric.compute()["top1"]), 4) == 0.6667

# everything else is there when it is asked for, as documented
mean = torchmetrics.MeanMetric()
mean.update(3.0)
assert "torchmetrics.functional" in sys.modules
assert torchmetrics.Metric is Metric and torchmetrics.MetricCollection is MetricCollection
from torchmetrics.classification import MulticlassConfusionMatrix
assert issubclass(MulticlassConfusionMatrix, Metric)
figure, _ = mean.plot()  # by the function that replaces the deferred one
assert type(figure).__name__ == "Figure"
try:
    torchmetrics.Nonsense
except AttributeError as error:
    print(error)
defer_torchmetrics()  # is imported already
assert sys.modules["torchmetrics"] is torchmetrics
"""


def test_all_names_remain_importable_and_the_rest_is_executed_when_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "module 'torchmetrics' has no attribute 'Nonsense'"
