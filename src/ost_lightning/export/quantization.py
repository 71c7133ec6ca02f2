"""Graphs in int8, by the runtimes' own tools.

Only the encoder is quantized: matching needs the precision of cosines.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from ost_lightning.errors import UserError
from ost_lightning.export.formats import FILES, SCOPE, GraphFormat
from ost_lightning.export.graph import ExportSource
from ost_lightning.export.parity import read_views

_ENCODER: Final = "video_clip."
"""Part of the scope of the encoder's and the temporal head's operations."""
_MATCHING: Final = ("bmm", "einsum", "matmul", "mm")
"""Operations of matchers, by the names that OpenVINO takes from PyTorch; layers of encoders are `linear`."""


def quantize(source: ExportSource, folder: Path, name: GraphFormat, videos: Sequence[Path]) -> None:
    """Replaces a written graph by one in int8.

    ONNX Runtime chooses the ranges of activations anew for each input. OpenVINO's NNCF fixes them by the videos.

    Args:
        source: Model, classes and settings.
        folder: Exported folder with a graph in fp32.
        name: Format.
        videos: Videos for calibration, which only OpenVINO needs.

    Raises:
        UserError: If videos are needed and there are none, or one can't be read.
    """
    if name == "onnx":
        _quantize_onnx(folder / FILES[name])
    else:
        _quantize_openvino(source, folder / FILES[name], videos)


def _quantize_onnx(file: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    nodes = onnx.load(file, load_external_data=False).graph.node
    layers = [
        node.name
        for node in nodes
        if node.op_type in ("MatMul", "Gemm")
        and any(entry.key == SCOPE and _ENCODER in entry.value for entry in node.metadata_props)
    ]
    folded = file.with_name(f"folded-{file.name}")
    quant_pre_process(file, folded, skip_symbolic_shape=True)  # weights become constants that can be quantized
    quantize_dynamic(folded, file, nodes_to_quantize=layers, per_channel=True, weight_type=QuantType.QInt8)
    folded.unlink()


def _quantize_openvino(source: ExportSource, file: Path, videos: Sequence[Path]) -> None:
    if not videos:
        raise UserError("OpenVINO's int8 is calibrated with videos: give a folder of about 100.")
    import nncf
    import openvino

    def clips() -> Iterator[Any]:
        for video in videos:
            yield np.ascontiguousarray(read_views(source, video).numpy())

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file of weights is overwritten
    model = nncf.quantize(
        core.read_model(file),
        nncf.Dataset(list(clips())),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(videos),
        ignored_scope=nncf.IgnoredScope(patterns=[f"^({'|'.join(_MATCHING)})[_/].*"], validate=False),
    )
    openvino.save_model(model, file, compress_to_fp16=False)
