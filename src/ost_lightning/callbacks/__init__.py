"""Callbacks for training and evaluation. YAML files refer to them by their short class names."""

from ost_lightning.callbacks.evaluation.ablation import Ablation, AblationSetting, ShownRow
from ost_lightning.callbacks.evaluation.classification_report import ClassificationReport
from ost_lightning.callbacks.evaluation.descriptor_usage import DescriptorUsage
from ost_lightning.callbacks.evaluation.fp8_vision import Fp8Vision
from ost_lightning.callbacks.evaluation.order_report import OrderReport
from ost_lightning.callbacks.evaluation.prediction_writer import PredictionWriter
from ost_lightning.callbacks.evaluation.sample_figures import SampleFigures
from ost_lightning.callbacks.evaluation.transductive_report import TransductiveReport
from ost_lightning.callbacks.evaluation.weight_ensembling import WeightEnsembling
from ost_lightning.callbacks.monitoring.gradient_norm import GradientNorm
from ost_lightning.callbacks.monitoring.loss_guard import NonFiniteLossGuard
from ost_lightning.callbacks.monitoring.parameter_count import ParameterCount
from ost_lightning.callbacks.monitoring.progress import VideoProgressBar
from ost_lightning.callbacks.monitoring.throughput import BottleneckWarning, Throughput
from ost_lightning.callbacks.reporting.results_writer import ResultsWriter
from ost_lightning.callbacks.resuming.resumption import ExactResume
from ost_lightning.callbacks.resuming.run_checkpoint import ResumableCheckpoint
from ost_lightning.callbacks.training.compiled_vision import CompiledVision
from ost_lightning.callbacks.training.epoch_weight_averaging import EpochWeightAveraging
from ost_lightning.callbacks.training.trajectory_average import TrajectoryAverage

__all__ = [
    "Ablation",
    "AblationSetting",
    "BottleneckWarning",
    "ClassificationReport",
    "CompiledVision",
    "DescriptorUsage",
    "EpochWeightAveraging",
    "ExactResume",
    "Fp8Vision",
    "GradientNorm",
    "NonFiniteLossGuard",
    "OrderReport",
    "ParameterCount",
    "PredictionWriter",
    "ResultsWriter",
    "ResumableCheckpoint",
    "SampleFigures",
    "ShownRow",
    "Throughput",
    "TrajectoryAverage",
    "TransductiveReport",
    "VideoProgressBar",
    "WeightEnsembling",
]
