"""Dual encoders behind one seam: pixels and sentences in, vectors of one space out."""

from ost_lightning.models.encoders.preprocessing import Preprocessing

__all__ = ["Preprocessing"]
