"""The commands beside experiments: which function each one calls. Imports nothing heavy, so that help need not wait."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Final


@dataclass(frozen=True, slots=True)
class Tool:
    """A command that calls a function; the function's parameters are its options.

    The function's module must not import PyTorch, Lightning, transformers or W&B at its top: help reads the signature.

    Attributes:
        name: One or two words.
        target: `module:function` in `ost_lightning.tools`.
        example: A command line.
    """

    name: str
    target: str
    example: str

    @property
    def function(self) -> Callable[..., None]:
        """The function, imported when it is asked for."""
        function: Callable[..., None] = resolve_name(f"ost_lightning.tools.{self.target}")
        return function

    @property
    def summary(self) -> str:
        """What the command does, in one sentence."""
        return (inspect.getdoc(self.function) or "").split("\n\n")[0]


SECTIONS: Final[dict[str, tuple[Tool, ...]]] = {
    "Videos and lists of videos": (
        Tool("data check", "data:check", "ost data check --list videos/test.txt --root videos"),
        Tool("data stats", "data:stats", "ost data stats --list videos/train.txt --root videos"),
        Tool("data leak", "lists:leak", "ost data leak train.txt test.txt"),
        Tool("data fewshot", "lists:fewshot", "ost data fewshot train.txt few.txt --shots 16 --seed 0"),
        Tool("data transcode", "video_files:transcode", "ost data transcode train.txt videos small --short_side 256"),
        Tool("data shard", "video_files:shard", "ost data shard train.txt videos shards"),
    ),
    "Spatio-Temporal Descriptors": (
        Tool(
            "descriptors generate",
            "generation:generate",
            "ost descriptors generate --label_space hmdb51 --output my/hmdb51 --dry_run",
        ),
        Tool("descriptors check", "descriptors:check", "ost descriptors check my/hmdb51"),
        Tool(
            "descriptors import",
            "descriptors:import_descriptors",
            "ost descriptors import --classes hmdb51 --spatio s.json --temporal t.json --output other/hmdb51",
        ),
        Tool("descriptors export", "descriptors:export", "ost descriptors export my/hmdb51 out"),
        Tool("descriptors diff", "descriptors:diff", "ost descriptors diff hmdb51 my/hmdb51"),
        Tool(
            "descriptors density",
            "density:density",
            "ost descriptors density hmdb51,ucf101 --pretrained openai/clip-vit-base-patch16",
        ),
    ),
    "Results and weights": (
        Tool("results", "results:results", "ost results runs --output runs/table"),
        Tool("convert", "convert:convert", "ost convert ost_k400_vitb16.pth weights/ost"),
    ),
    "The rendered world and its tiny CLIP": (
        Tool("demo", "demo:demo", "ost demo"),
        Tool("toyworld render", "toyworld:render", "ost toyworld render --group unseen"),
        Tool("toyworld sheet", "toyworld:sheet", "ost toyworld sheet sheet.png"),
    ),
}
"""By title, for the overview."""

ABLATION_MEAN: Final = Tool("ablate", "ablate:mean", "ost ablate --mean runs/seed*/ablation.json --output runs/mean")
"""What `ost ablate` does with `--mean`; without it, it runs an experiment."""

TOOLS: Final[dict[str, Tool]] = {tool.name: tool for tools in SECTIONS.values() for tool in tools}
"""By name."""

GROUPS: Final = tuple(dict.fromkeys(name.split()[0] for name in TOOLS if " " in name))
"""First words that several commands share."""
