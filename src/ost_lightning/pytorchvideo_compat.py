"""Makes pytorchvideo 0.1.5, its last release, importable beside a current torchvision.

`pytorchvideo.transforms` imports `torchvision.transforms.functional_tensor`, a private module that torchvision 0.17
renamed to `_functional_tensor`. Import pytorchvideo's parts from here, so that the old name exists before it asks for
it.
"""

import importlib
import sys
import warnings
from typing import Final

_OLD_NAME: Final = "torchvision.transforms.functional_tensor"

if _OLD_NAME not in sys.modules:
    sys.modules[_OLD_NAME] = importlib.import_module("torchvision.transforms._functional_tensor")

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # it compiles functions with torch.jit, which torch is about to drop
    from pytorchvideo.transforms.functional import uniform_crop

__all__ = ["uniform_crop"]
