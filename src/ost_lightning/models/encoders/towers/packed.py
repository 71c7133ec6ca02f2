"""Layers of a transformer on a CPU without gradients, with weights in the layout of oneDNN's matrix products.

The only module that uses PyTorch's operators for packed weights, whose names are private.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LAYERS: Final = frozenset(
    {
        "AltCLIPEncoderLayer",
        "CLIPEncoderLayer",
        "ChineseCLIPVisionLayer",
        "ClassTokenLayer",
        "MetaClip2EncoderLayer",
        "SiglipEncoderLayer",
    }
)
"""Classes of layers with the parts and the order of CLIP's. The name changes where FSDP shards a layer."""
_QUICK_GELU: Final = 1.702
_ROWS: Final = 1024
"""Tokens that pass through all layers together, so that they stay in the processor's caches."""
_ROWS_PER_THREAD: Final = 256
_SAMPLED: Final = 64
"""Values per weight that show whether the weight has changed."""


class PackedLayers:
    """Runs the layers of a tower faster than their own `forward`: same results, up to rounding.

    Weights are packed at the first call, and again when they have changed. Packing takes a third of a second for ViT-B,
    and as much memory as the layers' weights. Queries, keys and values are one product, and activations are computed in
    place. Groups of frames pass through all layers, instead of all frames through each layer.

    Under bf16 autocast, products and attention are in bf16, sums of layers and their norms in fp32.
    """

    def __init__(self) -> None:
        self._packed: _PackedWeights | None = None

    def can_run(self, backbone: nn.Module, layers: Sequence[Any], inputs: Tensor) -> bool:
        """Returns whether these layers can be run here and now; if not, their own `forward` has to be used.

        Args:
            backbone: Tower that the layers belong to.
            layers: Layers of the tower.
            inputs: What the tower embeds.
        """
        return (
            not torch.is_grad_enabled()
            and inputs.device.type == "cpu"
            and not _is_observed()
            and _is_supported(_product_type())
            and not _is_wrapped(backbone)
            and all(_is_plain(layer) for layer in layers)
        )

    @contextmanager
    def packed(self, layers: Sequence[Any]) -> Iterator[Callable[[Tensor], Tensor]]:
        """Gives a function that runs layers for which `can_run` holds; inside the `with` block, nothing is autocast.

        Args:
            layers: Layers of a tower.

        Yields:
            Function from the input of the first layer, fp32 (n, L, D), to the output of the last one, fp32 (n, L, D);
            (n, 1, D) if that is computed for the class token alone.
        """
        product_type, packed = _product_type(), self._packed
        if packed is None or not packed.is_of(layers, product_type):
            packed = self._packed = _PackedWeights.of(layers, product_type)
        with torch.autocast("cpu", enabled=False):
            yield packed.run

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)()  # packed weights can't be copied

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


def linear_map(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """Returns a linear map without bias, in the type of its weight (N, M), as the layers would compute it.

    Args:
        weight: Weight in fp32 or bf16.
    """
    if not _is_supported(weight.dtype):
        return lambda rows: F.linear(rows, weight)
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(weight.new_zeros(len(weight)))
    return _PackedLinear.of([linear], weight.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class _PackedLinear:
    weight: Tensor
    bias: Tensor

    @classmethod
    def of(cls, linears: Iterable[nn.Linear], dtype: torch.dtype, scales: tuple[float, float] = (1.0, 1.0)) -> Self:
        """Packs linear layers of the same input as one, with weights and biases multiplied by two numbers."""
        parts = [(linear.weight.detach(), linear.bias.detach()) for linear in linears]
        weight = (torch.cat([weight for weight, _ in parts]) * scales[0]).to(dtype)
        bias = (torch.cat([bias for _, bias in parts]) * scales[1]).to(dtype)
        return cls(torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS), bias)

    def __call__(self, rows: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self.weight, self.bias, "none", [], "")
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _PackedLayer:
    """Weights of one layer.

    Attributes:
        layer: The layer itself, whose norms are used as they are.
        query: Map to queries; None where `inputs` includes it.
        inputs: Map to queries, keys and values, or to keys and values.
        output: Map of what attention returns.
        up: First map of the MLP.
        down: Second map of the MLP.
    """

    layer: Any
    query: _PackedLinear | None
    inputs: _PackedLinear
    output: _PackedLinear
    up: _PackedLinear
    down: _PackedLinear

    @classmethod
    def of(cls, layer: Any, dtype: torch.dtype) -> Self:
        attention, mlp = layer.self_attn, layer.mlp
        first, rest = attention.q_proj, (attention.k_proj, attention.v_proj)
        alone = type(layer).__name__ == "ClassTokenLayer"
        # x sigmoid(1.702 x) = silu(1.702 x) / 1.702, so that the weights scale it
        up, down = (_QUICK_GELU, 1 / _QUICK_GELU) if _has_quick_gelu(mlp) else (1.0, 1.0)
        return cls(
            layer,
            _PackedLinear.of([first], dtype) if alone else None,
            _PackedLinear.of(rest if alone else (first, *rest), dtype),
            _PackedLinear.of([attention.out_proj], dtype),
            _PackedLinear.of([mlp.fc1], dtype, (up, up)),
            _PackedLinear.of([mlp.fc2], dtype, (down, 1.0)),
        )

    def run(self, states: Tensor, dtype: torch.dtype) -> Tensor:
        layer, heads = self.layer, self.layer.self_attn.num_heads
        rows = layer.layer_norm1(states).to(dtype)
        count = 2 if self.query is not None else 3
        projected = self.inputs(rows).unflatten(-1, (count, heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = projected[0], projected[-2], projected[-1]
        if self.query is not None:
            states = states[:, :1]
            query = self.query(rows[:, :1].contiguous()).unflatten(-1, (heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(query, key, value, scale=layer.self_attn.scale)
        states = states + self.output(attended.transpose(1, 2).flatten(2))
        hidden = self.up(layer.layer_norm2(states).to(dtype))
        active = F.silu(hidden, inplace=True) if _has_quick_gelu(layer.mlp) else layer.mlp.activation_fn(hidden)
        states += self.down(active)
        return states


@dataclass(frozen=True, slots=True, eq=False)
class _PackedWeights:
    """Packed layers, with what shows whether the layers still have the weights that were packed."""

    dtype: torch.dtype
    layers: tuple[_PackedLayer, ...]
    # keeps the memory of the packed weights, so that no other weights have their addresses
    originals: tuple[Tensor, ...]
    versions: tuple[int, ...]
    sample: Tensor

    @classmethod
    def of(cls, layers: Sequence[Any], dtype: torch.dtype) -> Self:
        weights = tuple(weight.detach() for weight in _weights(layers))
        packed = tuple(_PackedLayer.of(layer, dtype) for layer in layers)
        return cls(dtype, packed, weights, _versions(weights), _sample(weights))

    def is_of(self, layers: Sequence[Any], dtype: torch.dtype) -> bool:
        """Whether the layers have the weights that were packed.

        Some code, such as Lightning's averaging of weights, writes through `data`, which no version counts.
        """
        weights = tuple(_weights(layers))
        return (
            dtype == self.dtype
            and [weight.data_ptr() for weight in weights] == [weight.data_ptr() for weight in self.originals]
            and _versions(weights) == self.versions
            and torch.equal(_sample(weights), self.sample)
        )

    def run(self, tokens: Tensor) -> Tensor:
        rows = max(_ROWS, _ROWS_PER_THREAD * torch.get_num_threads())
        found = []
        for states in tokens.split(max(1, rows // tokens.shape[1])):
            for layer in self.layers:
                states = layer.run(states, self.dtype)
            found.append(states)
        return torch.cat(found)


def _is_observed() -> bool:
    """Whether operations are traced, or counted by a mode such as `FlopCounterMode`, which don't know the operators."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return True
    return bool(torch._C._len_torch_dispatch_stack())


def _product_type() -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


def _is_supported(dtype: torch.dtype) -> bool:
    """Whether this machine has products with packed weights of a type, which pay on x86 with wide vectors."""
    if not (torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled):
        return False
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        return False
    operators = torch.ops.mkldnn
    if not all(hasattr(operators, name) for name in ("_linear_pointwise", "_reorder_linear_weight")):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(operators._is_mkldnn_bf16_supported()))


def _is_plain(layer: Any) -> bool:
    """Whether a layer has the usual parts, with fp32 weights of their own, and does in `forward` what CLIP's does."""
    if type(layer).__name__ not in _LAYERS or any(_is_wrapped(part) for part in layer.modules()):
        return False
    dropped = layer.training and layer.self_attn.dropout
    return not dropped and all(
        type(linear) is nn.Linear and type(linear.weight) is nn.Parameter and linear.weight.dtype == torch.float32
        for linear in _linears(layer)
    )


def _is_wrapped(module: nn.Module) -> bool:
    """Whether `forward` is not all that happens when a module is called: it is compiled, or has hooks."""
    hooks = (*module._forward_hooks.values(), *module._forward_pre_hooks.values())
    # transformers' own hooks, which attention maps leave behind, only look
    foreign = any(not getattr(hook, "__module__", "").startswith("transformers.") for hook in hooks)
    return foreign or getattr(module, "_compiled_call_impl", None) is not None


def _has_quick_gelu(mlp: Any) -> bool:
    return type(mlp.activation_fn).__name__ == "QuickGELUActivation"


def _linears(layer: Any) -> tuple[nn.Module, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    return attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj, mlp.fc1, mlp.fc2


def _weights(layers: Sequence[Any]) -> Iterator[Tensor]:
    for layer in layers:
        for linear in _linears(layer):
            yield from linear.parameters()


def _versions(weights: Sequence[Tensor]) -> tuple[int, ...]:
    return tuple(0 if weight.is_inference() else weight._version for weight in weights)


def _sample(weights: Sequence[Tensor]) -> Tensor:
    """A few values of each weight, from all over it."""
    flat = [weight.detach().flatten() for weight in weights]
    return torch.cat([values[:: max(1, len(values) // _SAMPLED)] for values in flat])
