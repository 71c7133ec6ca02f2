"""SigLIP 2 NaFlex: the variant for pictures of any aspect ratio, here for square crops (Tschannen et al., 2025)."""

import json
from dataclasses import replace
from math import isqrt
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedModel, Siglip2Model
from transformers.models.siglip2.modeling_siglip2 import Siglip2VisionEmbeddings

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.pretrained.preprocessing import (
    Preprocessing,
    Resize,
    image_processor_settings,
    read_preprocessing,
)
from ost_lightning.models.encoders.siglip import SiglipEncoder
from ost_lightning.models.encoders.towers.sentences import SentenceTokenizer

_MAX_PATCHES: Final = "max_num_patches"
_DEFAULT_PATCHES: Final = 256


class Siglip2Encoder(SiglipEncoder):
    """A `Siglip2Model`, which reads patches of pictures with any aspect ratio.

    All clips of a batch have one shape, so frames are cropped to the largest square with at most the checkpoint's
    `max_num_patches`. There is no padding. The features are those of the library for the same square picture.
    """

    model_type: ClassVar[str] = "siglip2"
    architecture: ClassVar[type[PreTrainedModel]] = Siglip2Model
    resize: ClassVar[Resize] = "shortest_side"

    def __init__(self, model: Any, tokenizer: SentenceTokenizer, preprocessing: Preprocessing) -> None:
        super().__init__(model, tokenizer, preprocessing)
        model.vision_model.embeddings = as_square_embeddings(model.vision_model.embeddings)

    @classmethod
    def _preprocessing(cls, pretrained: str, config: Any) -> Preprocessing:
        patches = image_processor_settings(pretrained).get(_MAX_PATCHES, _DEFAULT_PATCHES)
        if type(patches) is not int or patches < 1:
            raise CheckpointError(
                f"preprocessor_config.json of {pretrained}: {_MAX_PATCHES} is {patches!r}, expected a number of "
                f"patches such as {_DEFAULT_PATCHES}. Repair the file."
            )
        side = isqrt(patches) * config.vision_config.patch_size
        default = Preprocessing(side, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), cls.resize, "bilinear")
        return replace(read_preprocessing(pretrained, default), resize=cls.resize)

    def _run_vision(self, pixels: Tensor, **options: Any) -> Any:
        # the shape is known from the pixels, and there is no padding to mask
        return self.model.vision_model(pixels, pixel_attention_mask=None, spatial_shapes=None, **options)

    def save_pretrained(self, folder: Path, preprocessing: Preprocessing | None = None) -> None:
        """Writes the current weights, the tokenizer and the preprocessing as a folder in HF format.

        Args:
            folder: Folder for the files.
            preprocessing: Preprocessing that the weights were trained with; None for the current one.
        """
        super().save_pretrained(folder, preprocessing)
        file, patch_size = folder / "preprocessor_config.json", self.model.config.vision_config.patch_size
        settings = json.loads(file.read_text(encoding="utf-8"))
        settings = {name: value for name, value in settings.items() if "size" not in name and "crop" not in name}
        settings |= {
            "image_processor_type": "Siglip2ImageProcessor",
            "patch_size": patch_size,
            _MAX_PATCHES: (self.image_size // patch_size) ** 2,
        }
        file.write_text(f"{json.dumps(settings, indent=2)}\n", encoding="utf-8")


class SquareEmbeddings(Siglip2VisionEmbeddings):
    """Patch and position embeddings of square images.

    The library computes the weights of the position embeddings for each image, and checks the shapes on the host,
    which waits for the GPU. For images of one shape, one interpolation gives the same result.
    """

    def forward(self, pixel_values: Tensor, spatial_shapes: Tensor | None = None) -> Tensor:
        """Maps normalized pixels (n, 3, S, S) to (n, P, D).

        Args:
            pixel_values: Normalized pixels.
            spatial_shapes: Ignored, because the shape is known from the pixels.
        """
        patch, grid = int(self.config.patch_size), self.position_embedding_size  # type: ignore[arg-type] # squares only
        rows, columns = pixel_values.shape[-2] // patch, pixel_values.shape[-1] // patch
        patches = pixel_values.unflatten(-1, (columns, patch)).unflatten(2, (rows, patch))
        # (n, 3, rows, y, columns, x) to (n, rows, columns, y, x, 3), as the library's image processor orders them
        patches = patches.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2)
        embedded = self.patch_embedding(patches.to(self.patch_embedding.weight.dtype))
        positions = self.position_embedding.weight
        if (rows, columns) != (grid, grid):
            picture = positions.float().unflatten(0, (grid, grid)).permute(2, 0, 1)[None]
            resized = F.interpolate(picture, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
            positions = resized[0].flatten(1).mT.to(positions.dtype)
        output: Tensor = embedded + positions
        return output


def as_square_embeddings(embeddings: Siglip2VisionEmbeddings) -> SquareEmbeddings:
    """Converts the embeddings of a vision tower; the result shares their weights."""
    with torch.device("meta"):
        converted = SquareEmbeddings(embeddings.config)
    for name, part in embeddings.named_children():
        setattr(converted, name, part)
    return converted.train(embeddings.training)
