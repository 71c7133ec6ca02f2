"""Open-vocabulary video recognition with CLIP and Spatio-Temporal Descriptors (OST, CVPR 2024)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ost_lightning.recognition import Recognition, Recognizer

__version__ = "0.1.0"
__all__ = ["Recognition", "Recognizer", "__version__"]


def __getattr__(name: str) -> Any:
    """Imports the public API at its first use, so that the `ost` command can start without PyTorch."""
    if name in ("Recognition", "Recognizer"):
        from ost_lightning import recognition

        return getattr(recognition, name)
    raise AttributeError(f"module 'ost_lightning' has no attribute '{name}'")
