"""Checkpoints of DiST: a 3D network beside a frozen vision tower."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import ClassVar, Final

from torch import Tensor

from ost_lightning.models.checkpoints.layouts.base import Entry, ReleasedLayout, as_it_is, depth

_NETWORK: Final = "dist_net."
_LAYER: Final = {
    "input_linears.{}.*": "from_tower.*",
    "temporal_nets.{}.ln.*": "temporal_norm.*",
    "temporal_nets.{}.temporal_net.c_fc1.*": "over_time.*",
    "temporal_nets.{}.temporal_net.c_fc2.*": "over_space.*",
    "temporal2integration_nets.{}.cls_token": "class_tokens",
    "temporal2integration_nets.{}.linear_fuse.*": "from_temporal.*",
    "integration_nets.{}.ln.*": "token_norm.*",
    "integration_nets.{}.ln_temporal.*": "time_norm.*",
    "integration_nets.{}.ffn.c_fc.*": "token_mlp.up.*",
    "integration_nets.{}.ffn.c_proj.*": "token_mlp.down.*",
    "integration_nets.{}.temporal_ffn.c_fc1.*": "time_in.*",
    "integration_nets.{}.temporal_ffn.c_fc2.*": "time_mix.*",
    "integration_nets.{}.temporal_ffn.c_proj.*": "time_out.*",
}
_TO_TEMPORAL: Final = "integration2temporal_nets.{}.linear_fuse.*"
_POOLING: Final = {
    "adapooling_nets.{}.positional_embedding": "positions",
    "adapooling_nets.{}.spatial_transformer.ln_1.*": "over_patches.norm.*",
    "adapooling_nets.{}.spatial_transformer.attn.in_proj_weight": "over_patches.attention.in_proj_weight",
    "adapooling_nets.{}.spatial_transformer.attn.in_proj_bias": "over_patches.attention.in_proj_bias",
    "adapooling_nets.{}.spatial_transformer.attn.out_proj.*": "over_patches.attention.out_proj.*",
    "adapooling_nets.{}.temporal_transformer.ln_1.*": "over_frames.norm.*",
    "adapooling_nets.{}.temporal_transformer.attn.in_proj_weight": "over_frames.attention.in_proj_weight",
    "adapooling_nets.{}.temporal_transformer.attn.in_proj_bias": "over_frames.attention.in_proj_bias",
    "adapooling_nets.{}.temporal_transformer.attn.out_proj.*": "over_frames.attention.out_proj.*",
    "adapooling_nets.{}.ln_out_spat_cls_token.*": "over_patches.mlp_norm.*",
    "adapooling_nets.{}.ln_out_temp_cls_token.*": "over_frames.mlp_norm.*",
    "adapooling_nets.{}.output_map_spatial_cls_token.c_fc.*": "over_patches.mlp.up.*",
    "adapooling_nets.{}.output_map_spatial_cls_token.c_proj.*": "over_patches.mlp.down.*",
    "adapooling_nets.{}.output_map_cls_token.c_fc.*": "over_frames.mlp.up.*",
    "adapooling_nets.{}.output_map_cls_token.c_proj.*": "over_frames.mlp.down.*",
}
_BESIDE: Final = {
    "aggregated_cls_token": "clip_query",
    "aggregated_spatial_cls_token": "frame_query",
    "proj_spatial_cls_token.*": "from_class_token.*",
    "ln_post.*": "norm.*",
    "temporal_stem.*": "stem.*",
    "proj": "projection.weight",
}


class SideNetworkLayout(ReleasedLayout):
    """Names of DiST's checkpoints.

    The map from the last layer back to the 3D network is ignored, because nothing reads what it computes.
    """

    name = "dist"
    short_side_ratio: ClassVar[float] = 1.0

    def recognizes(self, names: Collection[str]) -> bool:
        """Whether there are tensors of `dist_net`."""
        return any(name.startswith(_NETWORK) for name in names)

    def entries(self, tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
        """Yields the tensors of the network."""
        layers = depth(tensors, f"{_NETWORK}input_linears")
        yield from _entries(_BESIDE, "", 0)
        for layer in range(layers):
            back = {_TO_TEMPORAL: "to_temporal.*"} if layer < layers - 1 else {}
            yield from _entries({**_LAYER, **back}, f"layers.{layer}.", layer)
        for pooling in range(depth(tensors, f"{_NETWORK}adapooling_nets")):
            yield from _entries(_POOLING, f"poolings.{pooling}.", pooling)

    def ignores(self, name: str) -> bool:
        """Whether a tensor is of a map back to the 3D network: those that are read are among the entries."""
        return name.startswith(f"{_NETWORK}integration2temporal_nets.")

    def frames(self, tensors: Mapping[str, Tensor]) -> int | None:
        """Returns the number of frames that the 3D network reads."""
        sizes = self._sizes(tensors)
        return None if sizes is None else sizes[0]

    def settings(self, tensors: Mapping[str, Tensor]) -> dict[str, object]:
        """Returns the sizes of the network."""
        if (sizes := self._sizes(tensors)) is None:
            return {}
        names = ("frames", "stride", "integration_width", "temporal_width", "pooling_layers")
        return {f"side_network.{name}": size for name, size in zip(names, sizes, strict=True)}

    def _sizes(self, tensors: Mapping[str, Tensor]) -> tuple[int, int, int, int, int] | None:
        fuse = tensors.get(f"{_NETWORK}temporal2integration_nets.0.linear_fuse.weight")
        token = tensors.get(f"{_NETWORK}temporal2integration_nets.0.cls_token")
        if fuse is None or token is None:
            return None
        width, temporal, stride = fuse.shape[:3]
        return token.shape[-2] * stride, stride, width, temporal, depth(tensors, f"{_NETWORK}adapooling_nets")


def _entries(names: Mapping[str, str], prefix: str, index: int) -> Iterator[Entry]:
    for theirs, ours in names.items():
        for kind in ("weight", "bias") if theirs.endswith("*") else ("",):
            released = f"{_NETWORK}{theirs.format(index).removesuffix('*')}{kind}"
            name = f"{prefix}{ours.removesuffix('*')}{kind}"
            yield Entry(released, "side_network", (name,), _CHANGES.get(ours, as_it_is))


def _vector(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor.flatten(),)


def _rows(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor.flatten(0, -2),)


def _transposed(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor.T,)


_CHANGES: Final = {
    "clip_query": _vector,
    "frame_query": _vector,
    "class_tokens": _rows,
    "positions": _rows,
    "projection.weight": _transposed,
}
