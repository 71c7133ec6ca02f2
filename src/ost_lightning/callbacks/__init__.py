"""What happens beside training and evaluation."""

from ost_lightning.callbacks.ablation import Ablation, AblationSetting, ShownRow
from ost_lightning.callbacks.prediction_writer import PredictionWriter
from ost_lightning.callbacks.weight_ensembling import WeightEnsembling

__all__ = ["Ablation", "AblationSetting", "PredictionWriter", "ShownRow", "WeightEnsembling"]
