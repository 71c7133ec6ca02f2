"""What happens beside training and evaluation."""

from ost_lightning.callbacks.prediction_writer import PredictionWriter
from ost_lightning.callbacks.results_writer import ResultsWriter
from ost_lightning.callbacks.weight_ensembling import WeightEnsembling

__all__ = ["PredictionWriter", "ResultsWriter", "WeightEnsembling"]
