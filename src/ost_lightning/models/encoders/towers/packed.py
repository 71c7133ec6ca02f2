"""Layers of a transformer on a CPU without gradients, with weights in the layout of oneDNN's matrix products."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ost_lightning.models.encoders.towers.packed_linear import ROWS, PackedLinear, is_supported

_LAYERS: Final = frozenset(
    {
        "AltCLIPEncoderLayer",
        "CLIPEncoderLayer",
        "ChineseCLIPVisionLayer",
        "ClassTokenLayer",
        "MetaClip2EncoderLayer",
        "SiglipEncoderLayer",
        "XCLIPEncoderLayer",
    }
)
"""Classes of layers with the parts and the order of CLIP's. The name changes where FSDP shards a layer."""
_QUICK_GELU: Final = 1.702
_ROWS: Final = ROWS
"""Tokens that pass through all layers together, so that they stay in the processor's caches."""
_ROWS_PER_THREAD: Final = 256
_WORTH_PACKING: Final = 1024
"""Tokens from which on packing pays even if the weights are used only once."""
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
            and is_supported(_product_type())
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
        weights = self._current(layers)
        with torch.autocast("cpu", enabled=False):
            yield weights.run

    @contextmanager
    def packed_causal(self, layers: Sequence[Any]) -> Iterator[Callable[[Tensor, Tensor], Tensor]]:
        """Like `packed`, for tokens that attend only to themselves and those before.

        Sentences of similar length pass through the layers together, without padding that they don't need. Only the
        last token of each passes through the second half of the last layer.

        Args:
            layers: Layers of a tower.

        Yields:
            Function from the input of the first layer, fp32 (n, L, D), and the number of tokens that count in each row,
            int64 (n,), to the last layer's output for the last of these tokens, fp32 (n, D).
        """
        weights = self._current(layers)
        with torch.autocast("cpu", enabled=False):
            yield weights.run_causal

    def _current(self, layers: Sequence[Any]) -> "_PackedWeights":
        product_type, packed = _product_type(), self._packed
        if packed is None or not packed.is_of(layers, product_type):
            packed = self._packed = _PackedWeights.of(layers, product_type)
        return packed

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return type(self)()  # packed weights can't be copied

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        return type(self), ()


def packed_for_sentences(text: Any, sentences: Tensor) -> PackedLayers | None:
    """Returns what runs the layers of a text tower with packed weights, which are freed after their use.

    Sentences are embedded once, before many videos, so their weights would only take space afterwards.

    Args:
        text: Text tower.
        sentences: Token ids (n, L) or token embeddings (n, L, D).

    Returns:
        None if the layers can't be run so, or if there are so few tokens that packing takes more time than it saves.
    """
    layers = PackedLayers()
    # sizes are compared last, because they may be symbols while operations are traced
    if layers.can_run(text, text.encoder.layers, sentences) and sentences.shape[:2].numel() >= _WORTH_PACKING:
        return layers
    return None


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
    query: PackedLinear | None
    inputs: PackedLinear
    output: PackedLinear
    up: PackedLinear
    down: PackedLinear

    @classmethod
    def of(cls, layer: Any, dtype: torch.dtype) -> Self:
        attention, mlp = layer.self_attn, layer.mlp
        first, rest = attention.q_proj, (attention.k_proj, attention.v_proj)
        alone = type(layer).__name__ == "ClassTokenLayer"
        # x sigmoid(1.702 x) = silu(1.702 x) / 1.702, so that the weights scale it
        up, down = (_QUICK_GELU, 1 / _QUICK_GELU) if _has_quick_gelu(mlp) else (1.0, 1.0)
        return cls(
            layer,
            PackedLinear.of([first], dtype) if alone else None,
            PackedLinear.of(rest if alone else (first, *rest), dtype),
            PackedLinear.of([attention.out_proj], dtype),
            PackedLinear.of([mlp.fc1], dtype, (up, up)),
            PackedLinear.of([mlp.fc2], dtype, (down, 1.0)),
        )

    def run(self, states: Tensor, dtype: torch.dtype, causal: bool = False, read_at: Tensor | None = None) -> Tensor:
        """Maps (n, L, D) to (n, L, D); to (n, 1, D) for a class token, or (n, D) for the positions `read_at` (n,)."""
        layer, heads = self.layer, self.layer.self_attn.num_heads
        rows = layer.layer_norm1(states).to(dtype)
        count = 2 if self.query is not None else 3
        projected = self.inputs(rows).unflatten(-1, (count, heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = projected[0], projected[-2], projected[-1]
        if self.query is not None:
            states = states[:, :1]
            query = self.query(rows[:, :1].contiguous()).unflatten(-1, (heads, -1)).transpose(1, 2)
        scale = layer.self_attn.scale
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scale)
        attended = attended.transpose(1, 2).flatten(2)
        if read_at is not None:
            each = torch.arange(len(states))
            states, attended = states[each, read_at], attended[each, read_at]
        states = states + self.output(attended)
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
        found = []
        for states in tokens.split(_group_size(tokens.shape[1])):
            for layer in self.layers:
                states = layer.run(states, self.dtype)
            found.append(states)
        return torch.cat(found)

    def run_causal(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        found = tokens.new_empty(len(tokens), tokens.shape[2])
        order = lengths.argsort(descending=True)
        while len(order):
            longest = int(lengths[order[0]])
            size = _group_size(longest)
            group, order = order[:size], order[size:]
            states = tokens[group, :longest]
            for layer in self.layers[:-1]:
                states = layer.run(states, self.dtype, causal=True)
            found[group] = self.layers[-1].run(states, self.dtype, causal=True, read_at=lengths[group] - 1)
        return found


def _group_size(length: int) -> int:
    """Number of frames or sentences, of so many tokens each, that pass through all layers together."""
    return max(1, max(_ROWS, _ROWS_PER_THREAD * torch.get_num_threads()) // length)


def _is_observed() -> bool:
    """Whether operations are traced, or counted by a mode such as `FlopCounterMode`, which don't know the operators."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None:
        return True
    return bool(torch._C._len_torch_dispatch_stack())


def _product_type() -> torch.dtype:
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32


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
