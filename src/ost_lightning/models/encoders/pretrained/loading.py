"""Loading a pre-trained model from the hub or a folder: its type, weights and tokenizer.

Transformers takes a second to import, so it is imported by the functions that need it.
"""

import logging
import pickle
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import nn

from ost_lightning.errors import CheckpointError
from ost_lightning.models.encoders.pretrained.hub import OPEN_CLIP, folder_of, local_files_only
from ost_lightning.models.encoders.towers.pixels import as_patch_convolution
from ost_lightning.models.unreadable_weights import problem_in
from ost_lightning.resources import TINY_CLIP, TINY_MODELS

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_IMPOSSIBLE: Final = (
    StrictDataclassError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    RuntimeError,
)
"""Exceptions of transformers and torch where a model can't have the sizes or names in its config.json."""
_NUMBER: Final = re.compile(r"\.\d+\.")


def source_of(pretrained: str) -> str:
    """Returns the hub id or folder of a model; `tiny` and `tiny_siglip` are folders in this package."""
    return str(folder_of(pretrained)) if pretrained in TINY_MODELS or pretrained.startswith(OPEN_CLIP) else pretrained


def model_type_of(pretrained: str) -> str:
    """Returns the architecture's name in config.json, without reading or downloading anything else.

    Raises:
        CheckpointError: If the model doesn't exist, or its config.json has no `model_type`.
    """
    from transformers import PreTrainedConfig

    try:
        config, _ = PreTrainedConfig.get_config_dict(
            source_of(pretrained), local_files_only=local_files_only(pretrained)
        )
    except (OSError, ValueError, TypeError) as error:  # TypeError if it is a single value
        raise _not_found(pretrained, "config.json is", error) from error
    model_type = config.get("model_type") if isinstance(config, Mapping) else None
    if not isinstance(model_type, str):
        found = "is missing or empty" if not config else "has no model_type"
        raise CheckpointError(
            f"config.json of {pretrained} {found}: expected a model in Hugging Face format, as written by "
            f"`save_pretrained`. A hub id with open_clip's weights alone is {OPEN_CLIP}hf-hub:ID."
        )
    return model_type


def read_config(pretrained: str) -> Any:
    """Reads the configuration of a model of a supported type.

    Raises:
        CheckpointError: If it doesn't exist, or contains values of a wrong type.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(source_of(pretrained), local_files_only=local_files_only(pretrained))
    except OSError as error:
        raise _not_found(pretrained, "config.json is", error) from error
    except _IMPOSSIBLE as error:
        raise _impossible(pretrained, error) from error


def load_model(architecture: "type[PreTrainedModel]", pretrained: str, attention: str = "sdpa") -> Any:
    """Loads a complete model in fp32.

    Args:
        architecture: Class of the model.
        pretrained: Hub id, folder, or name of a tiny model.
        attention: Attention implementation, by its name in transformers; `eager` for a model without fused attention.

    Raises:
        CheckpointError: If the model doesn't exist, its configuration is impossible, or its weights are missing,
            damaged, incomplete or of more layers. Weights in a pickle that would execute code are refused.
    """
    if attention == "sdpa" and not architecture._supports_sdpa:
        attention = "eager"
    try:
        with _without_bar_of_weights(), _report_held() as held:
            loaded: Any = architecture.from_pretrained(
                source_of(pretrained),
                dtype=torch.float32,
                attn_implementation=attention,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are reported below, by name
                local_files_only=local_files_only(pretrained),
            )
    except (OSError, pickle.UnpicklingError, SafetensorError, EOFError, *_IMPOSSIBLE) as error:
        _check_config(architecture, pretrained)
        if isinstance(error, OSError | ValueError):
            raise _not_found(pretrained, "its weights are", error) from error
        raise CheckpointError(f"The weights of {pretrained} can't be read: {problem_in(error)}") from error
    model, report = loaded
    missing: Sequence[str] = sorted(report["missing_keys"])
    mismatched = [
        f"{name} has shape {tuple(found)}, expected {tuple(expected)}"
        for name, found, expected in sorted(report["mismatched_keys"])
    ]
    if missing or mismatched:
        raise CheckpointError(
            f"The weights of {pretrained} are not a complete {architecture.__name__} as in its config.json: "
            f"{len(missing)} are missing and {len(mismatched)} have a different shape (first: "
            f"{(missing or mismatched)[0]}). Expected a model with both towers, and the config.json that was saved "
            "with it."
        )
    if surplus := _of_other_layers(report["unexpected_keys"], model):
        raise CheckpointError(
            f"The weights of {pretrained} are those of more layers than its config.json has: {len(surplus)} would be "
            f"left out (first: {surplus[0]}). Expected the config.json that was saved with them."
        )
    for record in held:
        logging.getLogger(record.name).handle(record)  # weights that the model doesn't have
    for module in model.modules():
        if isinstance(convolution := getattr(module, "patch_embedding", None), nn.Conv2d):
            module.patch_embedding = as_patch_convolution(convolution)
    return model


def _of_other_layers(names: Iterable[str], model: nn.Module) -> list[str]:
    """Returns the names of weights that belong to a list of layers, but to none that the model has."""
    lists = {name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    return sorted(name for name in names if _NUMBER.split(name)[0] in lists)


def _check_config(architecture: "type[PreTrainedModel]", pretrained: str) -> None:
    """Checks that a configuration describes a model, where loading failed, without its weights.

    Raises:
        CheckpointError: If it doesn't.
    """
    config = read_config(pretrained)
    try:
        with torch.device("meta"):
            architecture(config)
    except _IMPOSSIBLE as error:
        raise _impossible(pretrained, error) from error


def _impossible(pretrained: str, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())[:300]
    return CheckpointError(
        f"config.json of {pretrained} doesn't describe a model ({type(error).__name__}: {reason}). Expected the "
        "config.json that was saved with the weights."
    )


@contextmanager
def _without_bar_of_weights() -> Iterator[None]:
    """Hides the progress bar over weights, which takes seconds and appears for every copy; downloads keep theirs."""
    from transformers.utils.logging import set_tqdm_hook

    def create(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        hidden = {"disable": True} if kwargs.get("desc") == "Loading weights" else {}
        return factory(*args, **(kwargs | hidden))

    before = set_tqdm_hook(create)
    try:
        yield
    finally:
        set_tqdm_hook(before)


@contextmanager
def _report_held() -> Iterator[list[logging.LogRecord]]:
    """Collects transformers' table of weights that don't fit, which a message of one sentence replaces."""
    logger, held = logging.getLogger("transformers.modeling_utils"), list[logging.LogRecord]()

    def hold(record: logging.LogRecord) -> bool:
        if report := "LOAD REPORT" in record.getMessage():
            held.append(record)
        return not report

    logger.addFilter(hold)
    try:
        yield held
    finally:
        logger.removeFilter(hold)


def load_tokenizer(pretrained: str, vocabulary: int, unembedded: int = 0) -> "PreTrainedTokenizerBase":
    """Loads the tokenizer of a checkpoint.

    Args:
        pretrained: Hub id, folder, or name of a tiny model.
        vocabulary: Size of the model's vocabulary, in tokens.
        unembedded: Number of tokens beyond the vocabulary that the model's own tokenizer has, and no sentence.

    Raises:
        CheckpointError: If the tokenizer is missing, belongs to another model, or needs a package that is not
            installed.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            source_of(pretrained), trust_remote_code=False, local_files_only=local_files_only(pretrained)
        )
    except ImportError as error:
        raise _missing_package(pretrained, " ".join(str(error).split())[:200]) from error
    except (OSError, ValueError) as error:
        if "tiktoken" in str(error) and find_spec("sentencepiece") is None:
            # transformers then tries tiktoken, and asks for it
            raise _missing_package(pretrained, "it is a SentencePiece model") from error
        raise _not_found(pretrained, "its tokenizer is", error) from error
    # transformers creates an empty tokenizer when the files are missing
    if not 0.9 * vocabulary <= len(tokenizer) <= vocabulary + unembedded:
        raise CheckpointError(
            f"The tokenizer of {pretrained} has {len(tokenizer)} tokens, but the model has {vocabulary}: the "
            "tokenizer's files (tokenizer.json, or vocab.json and merges.txt) are missing or belong to another model. "
            "Use a folder that contains the model's own tokenizer."
        )
    return tokenizer


def _missing_package(pretrained: str, reason: str) -> CheckpointError:
    return CheckpointError(
        f"The tokenizer of {pretrained} needs a package that is not installed ({reason}). SentencePiece tokenizers, "
        "such as SigLIP's, need `pip install 'ost-lightning[siglip]'`."
    )


def _not_found(pretrained: str, what: str, error: Exception) -> CheckpointError:
    first_line = str(error).strip().split("\n")[0]
    if Path(pretrained).is_dir():
        return CheckpointError(
            f"The model folder {pretrained} can't be read: {what} missing or damaged ({first_line}). Expected "
            "config.json, model.safetensors and the tokenizer's files, as written by `save_pretrained`."
        )
    return CheckpointError(
        f"There is no pre-trained model '{pretrained}': it is neither a folder nor a model on the Hugging Face hub or "
        f"in its local cache ({first_line}). Check the id and the network connection, or use `{TINY_CLIP}`, which "
        f"comes with the package. Models of open_clip begin with {OPEN_CLIP}"
    )
