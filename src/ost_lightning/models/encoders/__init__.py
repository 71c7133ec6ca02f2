"""Dual encoders behind one interface: they map pixels and sentences to vectors in one space."""

from typing import Final

from ost_lightning.errors import CheckpointError
from ost_lightning.lean_imports.stand_ins import collection_paused, resolve_without_scipy
from ost_lightning.models.encoders.base import TOWERS, DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.cpu_precision import CPUPrecision, use_cpu_precision
from ost_lightning.models.encoders.open_clip import OpenCLIPEncoder, is_open_clip
from ost_lightning.models.encoders.pretrained.loading import model_type_of
from ost_lightning.models.encoders.pretrained.preprocessing import (
    NAMED_STATISTICS,
    PixelStatistics,
    Preprocessing,
    StatisticsName,
)

__all__ = [
    "NAMED_STATISTICS",
    "TOWERS",
    "CPUPrecision",
    "DualEncoder",
    "PixelStatistics",
    "Preprocessing",
    "StatisticsName",
    "Tower",
    "TowerName",
    "encoder_class",
    "is_open_clip",
    "use_cpu_precision",
]

_ENCODERS: Final = {
    "altclip": "altclip:AltCLIPEncoder",
    "chinese_clip": "chinese_clip:ChineseCLIPEncoder",
    "clip": "clip:CLIPEncoder",
    "metaclip_2": "metaclip_2:MetaClip2Encoder",
    "siglip": "siglip:SiglipEncoder",
    "siglip2": "siglip2:Siglip2Encoder",
    "videoprism": "videoprism:VideoPrismEncoder",
    "xclip": "x_clip:XCLIPEncoder",
}
"""Module and class by `model_type`. Only the one that is asked for is imported: its architecture takes a second."""


@collection_paused()
def encoder_class(pretrained: str) -> type[DualEncoder]:
    """Returns the encoder class for a checkpoint, reading only the `model_type` in its config.json.

    Args:
        pretrained: Hub id, folder, `tiny`, `tiny_siglip`, or the name of a model of open_clip.

    Raises:
        CheckpointError: If the checkpoint doesn't exist, or its type is not supported.
    """
    if is_open_clip(pretrained):
        return OpenCLIPEncoder
    model_type = model_type_of(pretrained)
    if model_type not in _ENCODERS:
        raise CheckpointError(
            f"{pretrained} is a model of type '{model_type}', which is not supported: expected one of "
            f"{', '.join(sorted(_ENCODERS))} (model_type in config.json)."
        )
    encoder: type[DualEncoder] = resolve_without_scipy(f"{__name__}.{_ENCODERS[model_type]}")
    return encoder
