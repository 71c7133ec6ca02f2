"""What happens beside training and evaluation."""

from ost_lightning.callbacks.descriptor_usage import DescriptorUsage
from ost_lightning.callbacks.prediction_writer import PredictionWriter
from ost_lightning.callbacks.weight_ensembling import WeightEnsembling

__all__ = ["DescriptorUsage", "PredictionWriter", "WeightEnsembling"]
