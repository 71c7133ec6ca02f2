"""Open-vocabulary video recognition with CLIP and Spatio-Temporal Descriptors (OST, CVPR 2024)."""

__version__ = "0.1.0"
