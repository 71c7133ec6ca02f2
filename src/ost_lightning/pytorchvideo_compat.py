"""Makes pytorchvideo 0.1.5, its last release, importable beside a current torchvision.

`pytorchvideo.transforms` imports `torchvision.transforms.functional_tensor`, a private module that torchvision 0.17
renamed to `_functional_tensor`. Import parts of pytorchvideo from this module, which defines the old name first.
"""

import importlib
import sys
import warnings
from typing import Final

_OLD_NAME: Final = "torchvision.transforms.functional_tensor"

if _OLD_NAME not in sys.modules:
    sys.modules[_OLD_NAME] = importlib.import_module("torchvision.transforms._functional_tensor")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # pytorchvideo uses torch.jit, which is deprecated
    from pytorchvideo.transforms.functional import uniform_crop

__all__ = ["uniform_crop"]
