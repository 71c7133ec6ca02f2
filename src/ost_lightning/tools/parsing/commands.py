"""Table of the commands that don't run experiments. Imports nothing heavy, so that help is fast."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import Final


@dataclass(frozen=True, slots=True)
class Tool:
    """Command that calls a function, whose parameters are the command's options.

    The function's module must not import PyTorch, Lightning, transformers or W&B at the top level, because help imports
    the module to read the signature.

    Attributes:
        name: Name of the command, one or two words.
        target: Function in `ost_lightning.tools`, as `module:function`.
        example: Example command line.
    """

    name: str
    target: str
    example: str

    @property
    def function(self) -> Callable[..., None]:
        """Function of the command, imported at each access."""
        function: Callable[..., None] = resolve_name(f"ost_lightning.tools.{self.target}")
        return function

    @property
    def summary(self) -> str:
        """Effect of the command in one sentence, from the function's docstring."""
        return (inspect.getdoc(self.function) or "").split("\n\n")[0]


SECTIONS: Final[dict[str, tuple[Tool, ...]]] = {
    "Recognition": (
        Tool("recognize", "recognition.recognize:recognize", "ost recognize clips --labels kinetics400"),
        Tool(
            "timeline",
            "recognition.timeline:timeline",
            "ost timeline match.mp4 --labels kinetics400 --output match.html",
        ),
        Tool("explain", "recognition.explain:explain", "ost explain clip.mp4 --labels kinetics400 --output why"),
        Tool("app", "recognition.app:app", "ost app --weights runs/my --labels kinetics400"),
    ),
    "Libraries of videos": (
        Tool("index", "library.index:index", "ost index clips --library my_library --weights runs/my"),
        Tool("find", "library.find:find", "ost find archery --library lib --labels kinetics400"),
        Tool("suggest", "library.suggest:suggest", "ost suggest --library lib --labels kinetics400 --output next.csv"),
    ),
    "Videos and lists of videos": (
        Tool("new", "new:new", "ost new videos"),
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
        Tool(
            "descriptors consensus",
            "consensus:consensus",
            "ost descriptors consensus my/draft0,my/draft1,my/draft2 --output my/hmdb51",
        ),
        Tool("descriptors diff", "descriptors:diff", "ost descriptors diff hmdb51 my/hmdb51"),
        Tool(
            "descriptors density",
            "density:density",
            "ost descriptors density hmdb51,ucf101 --pretrained openai/clip-vit-base-patch16",
        ),
    ),
    "Training without labels": (
        Tool("bags match", "baselines.bags:match", "ost bags match --list all.txt --root videos --output bags"),
        Tool("bags add", "baselines.bags:add", "ost bags add bags/bags.jsonl --classes verbs --videos captions.jsonl"),
    ),
    "Features of other networks": (
        Tool(
            "features fit",
            "baselines.features:train_head",
            "ost features fit --list train.txt --features train.safetensors --concepts train.json --output head",
        ),
        Tool(
            "features test",
            "baselines.features:score_head",
            "ost features test --list test.txt --features test.safetensors --concepts test.json "
            "--checkpoint head/last.ckpt --output head/test",
        ),
    ),
    "Results and weights": (
        Tool("results", "results:results", "ost results runs --output runs/table"),
        Tool("report", "report:report", "ost report runs/my --output report.html"),
        Tool("export", "weights.export:export", "ost export runs/my exported --labels hmdb51 --formats hf,onnx"),
        Tool("convert", "weights.convert:convert", "ost convert ost_k400_vitb16.pth weights/ost"),
    ),
    "The rendered world and its tiny CLIP": (
        Tool("demo", "demo.command:demo", "ost demo"),
        Tool("toyworld render", "toyworld:render", "ost toyworld render --group unseen"),
        Tool("toyworld sheet", "toyworld:sheet", "ost toyworld sheet sheet.png"),
    ),
}
"""Tools by title of their section in the overview."""

ABLATION_MEAN: Final = Tool("ablate", "ablate:mean", "ost ablate --mean runs/seed*/ablation.json --output runs/mean")
"""Tool for `ost ablate --mean`; without `--mean`, `ost ablate` runs an experiment."""

TOOLS: Final[dict[str, Tool]] = {tool.name: tool for tools in SECTIONS.values() for tool in tools}
"""Tools by name."""

GROUPS: Final = tuple(dict.fromkeys(name.split()[0] for name in TOOLS if " " in name))
"""First words of commands with two words."""
