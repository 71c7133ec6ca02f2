"""What happens beside training and evaluation."""

from ost_lightning.callbacks.ablation import Ablation, AblationSetting, ShownRow
from ost_lightning.callbacks.compiled_vision import CompiledVision
from ost_lightning.callbacks.descriptor_usage import DescriptorUsage
from ost_lightning.callbacks.epoch_weight_averaging import EpochWeightAveraging
from ost_lightning.callbacks.gradient_norm import GradientNorm
from ost_lightning.callbacks.loss_guard import LossGuard
from ost_lightning.callbacks.prediction_writer import PredictionWriter
from ost_lightning.callbacks.progress import VideoProgressBar
from ost_lightning.callbacks.results_writer import ResultsWriter
from ost_lightning.callbacks.resumption import Resumption
from ost_lightning.callbacks.run_checkpoint import RunCheckpoint
from ost_lightning.callbacks.sample_figures import SampleFigures
from ost_lightning.callbacks.throughput import BottleneckWarning, Throughput
from ost_lightning.callbacks.weight_ensembling import WeightEnsembling

__all__ = [
    "Ablation",
    "AblationSetting",
    "BottleneckWarning",
    "CompiledVision",
    "DescriptorUsage",
    "EpochWeightAveraging",
    "GradientNorm",
    "LossGuard",
    "PredictionWriter",
    "ResultsWriter",
    "Resumption",
    "RunCheckpoint",
    "SampleFigures",
    "ShownRow",
    "Throughput",
    "VideoProgressBar",
    "WeightEnsembling",
]
