"""Models of the library open_clip: PE-Core, MobileCLIP, EVA, DFN, SigLIP and others."""

from ost_lightning.models.encoders.open_clip.encoder import OpenCLIPEncoder
from ost_lightning.models.encoders.open_clip.source import is_open_clip

__all__ = ["OpenCLIPEncoder", "is_open_clip"]
