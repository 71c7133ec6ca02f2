"""Graphs with int8 weights, by the runtimes' own tools; activations are rounded to int8 while a graph is executed.

Only the linear layers of the vision tower's middle blocks are quantized. Rounding of pixels, attention, the first and
the last block, the projection to the joint space or matching costs the most agreement, and saves little time.
"""

from pathlib import Path
from typing import Any, Final

import torch
from torch.export import ExportedProgram

from ost_lightning.errors import UserError
from ost_lightning.export.formats import FILES, SCOPE, GraphFormat
from ost_lightning.models import DualEncoder

_WITH_WEIGHTS: Final = ("MatMul", "Convolution", "GroupConvolution", "Gather")
"""OpenVINO's operations that may have weights."""


def quantize(encoder: DualEncoder, program: ExportedProgram, folder: Path, name: GraphFormat) -> None:
    """Replaces a written graph by one in int8. The ranges of activations are found anew for each input.

    Args:
        encoder: Encoder of the graph.
        program: Traced graph, or its first part.
        folder: Exported folder with the graph in fp32.
        name: Format.

    Raises:
        UserError: If the vision tower's blocks have no linear layers.
    """
    layers = block_layers(encoder, program)
    if not layers:
        raise UserError(
            f"The blocks of {type(encoder).__name__}'s vision tower have no linear layers for int8: choose fp32 or "
            "bf16."
        )
    {"onnx": _quantize_onnx, "openvino": _quantize_openvino}[name](folder / FILES[name], layers)


def block_layers(encoder: DualEncoder, program: ExportedProgram) -> frozenset[str]:
    """Returns the names that linear layers of the vision tower's blocks have in a traced graph: `linear_3`.

    Those of the first and the last block are left out, unless there are no others.
    """
    blocks = encoder.tower("vision").layers
    chosen = {id(weight) for block in (blocks[1:-1] or blocks) for weight in block.parameters()}
    names = {name for name, weight in program.named_parameters() if id(weight) in chosen}
    inputs = program.graph_signature.inputs_to_parameters
    return frozenset(
        node.name
        for node in program.graph.nodes
        if node.target is torch.ops.aten.linear.default and inputs.get(node.args[1].name) in names
    )


def _quantize_onnx(file: Path, layers: frozenset[str]) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    def is_chosen(node: Any) -> bool:
        scopes = [entry.value for entry in node.metadata_props if entry.key == SCOPE]
        return any(scope.rpartition("/")[2].partition(":")[0] in layers for scope in scopes)

    nodes = onnx.load(file, load_external_data=False).graph.node
    chosen = [node.name for node in nodes if node.op_type in ("MatMul", "Gemm") and is_chosen(node)]
    folded = file.with_name(f"folded-{file.name}")
    quant_pre_process(file, folded, skip_symbolic_shape=True)  # weights become constants that can be quantized
    quantize_dynamic(folded, file, nodes_to_quantize=chosen, per_channel=True, weight_type=QuantType.QInt8)
    folded.unlink()


def _quantize_openvino(file: Path, layers: frozenset[str]) -> None:
    import nncf
    import openvino

    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": False})  # the file of weights is overwritten
    model = core.read_model(file)
    names = ((operation.get_type_name(), operation.get_friendly_name()) for operation in model.get_ops())
    others = [name for kind, name in names if kind in _WITH_WEIGHTS and name.partition("/")[0] not in layers]
    ignored = nncf.IgnoredScope(names=others, validate=False)
    model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM, ignored_scope=ignored)
    openvino.save_model(model, file, compress_to_fp16=False)
