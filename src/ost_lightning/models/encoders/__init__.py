"""Dual encoders behind one interface: they map pixels and sentences to vectors in one space."""

from typing import Final

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.altclip import AltCLIPEncoder
from ost_lightning.models.encoders.base import TOWERS, DualEncoder, Tower, TowerName
from ost_lightning.models.encoders.chinese_clip import ChineseCLIPEncoder
from ost_lightning.models.encoders.clip import CLIPEncoder
from ost_lightning.models.encoders.metaclip_2 import MetaClip2Encoder
from ost_lightning.models.encoders.open_clip import OpenCLIPEncoder, is_open_clip
from ost_lightning.models.encoders.pretrained.loading import model_type_of
from ost_lightning.models.encoders.pretrained.preprocessing import (
    NAMED_STATISTICS,
    PixelStatistics,
    Preprocessing,
    StatisticsName,
)
from ost_lightning.models.encoders.siglip import SiglipEncoder
from ost_lightning.models.encoders.siglip2 import Siglip2Encoder
from ost_lightning.models.encoders.videoprism import VideoPrismEncoder
from ost_lightning.models.encoders.x_clip import XCLIPEncoder

__all__ = [
    "NAMED_STATISTICS",
    "TOWERS",
    "DualEncoder",
    "PixelStatistics",
    "Preprocessing",
    "StatisticsName",
    "Tower",
    "TowerName",
    "encoder_class",
    "is_open_clip",
]

_ENCODERS: Final[dict[str, type[DualEncoder]]] = {
    encoder.model_type: encoder
    for encoder in (
        AltCLIPEncoder,
        ChineseCLIPEncoder,
        CLIPEncoder,
        MetaClip2Encoder,
        Siglip2Encoder,
        SiglipEncoder,
        VideoPrismEncoder,
        XCLIPEncoder,
    )
}


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
    return _ENCODERS[model_type]
