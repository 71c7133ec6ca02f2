"""The formats of an export: files of one graph, for PyTorch, ONNX Runtime and OpenVINO."""

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Literal, get_args

import torch
from torch.export import ExportedProgram

from ost_lightning.errors import UserError
from ost_lightning.export.graph import INPUT, OUTPUT

Format = Literal["hf", "torch_export", "onnx", "openvino"]
GraphFormat = Literal["torch_export", "onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

SCOPE: Final = "namespace"
"""Key of the module that an operation of an ONNX graph comes from."""
FILES: Final[dict[GraphFormat, str]] = {"torch_export": "model.pt2", "onnx": "model.onnx", "openvino": "model.xml"}
MATCHING: Final = "matching.xml"
"""OpenVINO's graph of the second part, where the first one has a lower precision."""
RUNTIMES: Final[dict[GraphFormat, str]] = {"torch_export": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
_PACKAGES: Final[dict[str, tuple[str, ...]]] = {
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("openvino", "nncf"),
}
"""Packages of the extra that has the name of a format."""
_GROUP: Final = 128
"""Number of adjacent activations with a common scale in OpenVINO's int8; more are faster and less precise."""
_PRECISIONS: Final[dict[Precision, tuple[Format, ...]]] = {
    "fp32": get_args(Format),
    "bf16": ("hf", "openvino"),
    "int8": ("hf", "onnx", "openvino"),
}


def check_formats(formats: tuple[str, ...], precision: str) -> tuple[Format, ...]:
    """Checks the names of formats and a precision, and that the packages of the formats are installed.

    Raises:
        UserError: If a name is unknown, the formats don't have the precision, or a package is missing.
    """
    known = get_args(Format)
    if not formats:
        raise UserError(f"There is no format: expected some of {', '.join(known)}.")
    for name in formats:
        if name not in known:
            raise UserError(f"There is no format '{name}': expected some of {', '.join(known)}.")
    chosen: tuple[Format, ...] = tuple(name for name in known if name in formats)
    for level, having in _PRECISIONS.items():
        if level == precision and (lacking := [name for name in chosen if name not in having]):
            raise UserError(f"The format {lacking[0]} has no precision {precision}: {precision} is for {having[1:]}.")
    if precision not in _PRECISIONS:
        raise UserError(f"The precision is '{precision}': expected one of {', '.join(_PRECISIONS)}.")
    if precision != "fp32" and chosen == ("hf",):
        raise UserError(f"The format hf keeps the precision of the weights: {precision} needs a format with a graph.")
    for name in chosen:
        if missing := [package for package in _PACKAGES.get(name, ()) if find_spec(package) is None]:
            raise UserError(f"The format {name} needs {missing[0]}: pip install 'ost-lightning[{name}]'")
    return chosen


def in_parts(name: GraphFormat, precision: Precision) -> bool:
    """Returns whether a format has two graphs: the first in the given precision, and that of matching in fp32."""
    return name == "openvino" and precision != "fp32"


def runtime_settings(precision: Precision) -> dict[str, Any]:
    """Returns the settings of the runtimes, for the program that reads the graphs."""
    first: dict[Precision, dict[str, Any]] = {
        "fp32": {"INFERENCE_PRECISION_HINT": "f32"},  # OpenVINO would choose it by the processor
        "bf16": {"INFERENCE_PRECISION_HINT": "bf16"},
        # what isn't int8 is bf16 on processors that have it, and fp32 on others, where bf16 would be slow
        "int8": {"EXECUTION_MODE_HINT": "PERFORMANCE", "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP},
    }
    openvino = {FILES["openvino"]: first[precision]}
    if in_parts("openvino", precision):
        openvino[MATCHING] = first["fp32"]
    return {"onnx": {"providers": ["CPUExecutionProvider"]}, "openvino": openvino}


def write_graph(programs: Sequence[ExportedProgram], name: GraphFormat, folder: Path) -> None:
    """Writes a graph in fp32.

    Args:
        programs: Traced graph, or both of its parts.
        name: Format.
        folder: Folder for the file, and for a second one with the weights if the format has one.

    Raises:
        UserError: If the format has no counterpart of an operation in the graph.
    """
    if name == "torch_export":
        torch.export.save(programs[0], folder / FILES[name])
    elif name == "onnx":
        _write_onnx(programs[0], folder / FILES[name])
    else:
        for program, file in zip(programs, (FILES[name], MATCHING), strict=False):
            _write_openvino(program, folder / file)


def _write_onnx(program: ExportedProgram, file: Path) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the exporter's own code
            written = torch.onnx.export(
                program, dynamo=True, optimize=False, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
    except torch.onnx.OnnxExporterError as error:
        raise _without_counterpart("onnx", error) from error
    if written is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    for node in written.model.graph:
        scope = {key: value for key, value in node.metadata_props.items() if key == SCOPE}
        node.metadata_props.clear()
        node.metadata_props.update(scope)
    written.save(file)


def _write_openvino(program: ExportedProgram, file: Path) -> None:
    import openvino
    from openvino.frontend import GeneralFailure, NotImplementedFailure, OpConversionFailure

    try:
        converted = openvino.convert_model(program)
    except (OpConversionFailure, NotImplementedFailure, GeneralFailure) as error:
        raise _without_counterpart("openvino", error) from error
    openvino.save_model(converted, file, compress_to_fp16=False)


def _without_counterpart(name: GraphFormat, error: Exception) -> UserError:
    reason = " ".join(str(error.__cause__ or error).split())[-300:]  # OpenVINO names the operations last
    return UserError(f"The model can't be written in the format {name} ({reason}): choose another format.")
