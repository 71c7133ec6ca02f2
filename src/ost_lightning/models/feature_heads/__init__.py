"""Heads on features of videos that other networks computed; none of them is a CLIP."""

from ost_lightning.models.feature_heads.elaborative_rehearsal import ElaborativeRehearsal, rehearsal_loss
from ost_lightning.models.feature_heads.feature_batch import FeatureBatch, collate_features

__all__ = ["ElaborativeRehearsal", "FeatureBatch", "collate_features", "rehearsal_loss"]
