"""Cost of each ingredient that may be added to OST, as a multiple of OST's in the same run; see cost.py.

Every ingredient is measured in a process of its own, so that the peak of its memory is not that of another one. On a
CPU, times are those of the processor with one thread, which other programs change little. OST is measured first and
last; the difference is the error of the measurement.
"""

import argparse
import ast
import io
import re
import sys
import tempfile
import time
import tokenize
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import torch
from head import like_clip
from own_process import PeakMemory, in_own_process
from random_clip import random_sentences, save_random_clip
from torch.utils.flop_counter import FlopCounterMode

import ost_lightning
from ost_lightning.evaluation import TransductiveCache
from ost_lightning.matching import Matcher, OptimalDescriptorSolver, SoftDTW, TermWeights, TransportProblem
from ost_lightning.models import ContextualVideoCLIP, VideoCLIP, add_to_average
from ost_lightning.tasks import ContrastiveRecognition, Regularizer, StructureDistillation, WeightInterpolation
from ost_lightning.text import Descriptors, LabelSpace
from ost_lightning.text.consensus import consensus

PACKAGE: Final = Path(ost_lightning.__file__).parent
SENTENCE_TOKENS: Final = 20
CACHED_VIDEOS: Final = 400
DRAFTS: Final = 5
DESCRIPTORS: Final = 4


class Code(NamedTuple):
    """Where an ingredient is in the package.

    Attributes:
        files: Pattern of its files.
        mentions: Expression that its lines contain, or the first line of its functions; None for whole files.
    """

    files: str
    mentions: str | None = None


@dataclass(frozen=True)
class Ingredient:
    """OST with one addition.

    Attributes:
        code: Where it is in the package; None for OST itself, and for what is made of other ingredients.
        matcher: Matcher of training and test.
        clip: Class of the model.
        regularizers: Loss terms.
        averaged: Whether the weights after each epoch are averaged.
    """

    code: Code | None = None
    matcher: Callable[[], Matcher] = OptimalDescriptorSolver
    clip: type[VideoCLIP] = VideoCLIP
    regularizers: Callable[[], Sequence[Regularizer]] = tuple
    averaged: bool = False


def _solver(
    terms: TermWeights = TermWeights(),  # frozen, like the next one
    both: TransportProblem = TransportProblem(),
    sigma: float | None = None,
) -> Callable[[], Matcher]:
    temporal = both if sigma is None else TransportProblem(order_sigma=sigma)
    return lambda: OptimalDescriptorSolver(terms=terms, spatio=both, temporal=temporal)


OST: Final = "OST"
MEASURED: dict[str, Ingredient] = {
    OST: Ingredient(),
    "name term": Ingredient(
        Code("matching/od_solver.py", r'\bname: float|self\.name\b|"name"|mean_frame_and_name'),
        _solver(TermWeights(name=0.25)),
    ),
    "frame marginals": Ingredient(
        Code("matching/*.py", "frame_temperature|log_frame_marginal|_LOG_SMALLEST"),
        _solver(both=TransportProblem(frame_temperature=0.3)),
    ),
    "relaxed marginal": Ingredient(
        Code("matching/*.py", r"descriptor_rho|epsilon_over_rho|\bratio\b"),
        _solver(both=TransportProblem(descriptor_rho=0.2)),
    ),
    "order prior": Ingredient(Code("matching/*.py", "order_sigma|_?log_prior"), _solver(sigma=0.1)),
    "soft-DTW": Ingredient(Code("matching/alignment.py"), lambda: SoftDTW(0.1)),
    "evidence for the order": Ingredient(
        Code("matching/od_solver.py", r"_order_evidence|terms\.order\b|\border: float|order_sigma"),
        _solver(TermWeights(order=2, order_sigma=0.3)),
    ),
    "score of OST+": Ingredient(
        matcher=_solver(TermWeights(spatio_pooled=0, temporal_pooled=0, order=1, order_sigma=0.3))
    ),
    "structure distillation": Ingredient(
        Code("tasks/regularizers/[pst]*.py"), regularizers=lambda: [StructureDistillation()]
    ),
    "weight interpolation": Ingredient(
        Code("tasks/regularizers/weight_interpolation.py"), regularizers=lambda: [WeightInterpolation()]
    ),
    "temporal context": Ingredient(Code("models/temporal_context/*.py"), clip=ContextualVideoCLIP),
    "trajectory average": Ingredient(Code("callbacks/training/trajectory_average.py"), averaged=True),
}
AFTER_TRAINING: dict[str, Code] = {
    "consensus of 5 drafts": Code("text/consensus.py"),
    "test-time cache": Code("evaluation/transductive_cache.py"),
}


class Cost(NamedTuple):
    """What OST costs with one ingredient.

    Attributes:
        operations: Floating-point operations of a training step.
        step: Time of a training step in seconds.
        evaluation: Time of an evaluation step in seconds.
        memory: Peak memory of training steps in GiB.
        update: Time that averaging the weights takes, once per epoch, in seconds; 0 if they are not averaged.
        width: Width of the embeddings.
    """

    operations: int
    step: float
    evaluation: float
    memory: float
    update: float
    width: int = 512


@dataclass
class Run:
    """Model, optimizer and data of one measurement."""

    ingredient: Ingredient
    weights: str
    options: argparse.Namespace
    average: dict[str, torch.Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        options, device = self.options, self.options.device
        self.clip = self.ingredient.clip(self.weights).to(device)
        self.matcher = self.ingredient.matcher().to(device)
        self.task = ContrastiveRecognition(self.clip, self.matcher, regularizers=self.ingredient.regularizers())
        self.task.to(device)
        self.task.regularizers.prepare(self.clip, whole_steps=False)  # reads the original weights
        self.optimizer = torch.optim.AdamW(self.task.parameters(), lr=1e-6, fused=device != "cpu")
        size = self.clip.image_size
        shape = (options.batch, 1, options.frames, 3, size, size)
        self.clips = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
        self.labels = torch.arange(options.batch)
        self.sentences = random_sentences(self.clip, self.matcher.kinds, options.batch, SENTENCE_TOKENS)
        # random weights give problems that converge immediately
        width = self.clip.embedding_dim
        self.embedded = like_clip(options.batch, options.frames, width).to(device)
        counts = [1 if kind == "name" else DESCRIPTORS for kind in self.matcher.kinds]
        self.texts = [like_clip(options.classes, count, width).to(device) for count in counts]

    def train(self) -> None:
        with self._precision():
            loss = self.task.loss([self.clips], [self.labels], self.sentences)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def update_average(self) -> None:
        if self.ingredient.averaged:
            add_to_average(self.average, dict(self.clip.named_parameters()), dict.fromkeys(self.average, 1))

    @torch.inference_mode()
    def evaluate(self) -> torch.Tensor:
        with self._precision():
            self.clip.encode_frames(self.clips[:, 0])
        return self.clip.class_probabilities(self.matcher(self.embedded, *self.texts))

    def _precision(self) -> torch.autocast:
        device = torch.device(self.options.device).type
        return torch.autocast(device, dtype=torch.bfloat16, enabled=self.options.precision == "bf16")


def seconds(work: Callable[[], object], device: str, repetitions: int) -> float:
    """Returns the least time of some work, which other programs disturb least: that of the processor on a CPU."""
    taken = []
    for _ in range(repetitions):
        if device != "cpu":
            torch.cuda.synchronize()
        began = time.process_time() if device == "cpu" else time.perf_counter()
        work()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append((time.process_time() if device == "cpu" else time.perf_counter()) - began)
    return min(taken)


def measure(name: str, weights: str, options: argparse.Namespace) -> Cost:
    """Measures one ingredient, in this process."""
    torch.set_num_threads(1)
    ingredient, device = MEASURED[name], options.device
    Run(ingredient, "tiny", options).train()  # code is loaded before memory counts
    memory = PeakMemory(device)
    run = Run(ingredient, weights, options)
    run.update_average()  # with CLIP's weights
    with FlopCounterMode(display=False) as counter:
        run.train()  # which also creates the optimizer's state
    step = seconds(run.train, device, options.repetitions)
    update = seconds(run.update_average, device, 1) if ingredient.averaged else 0.0
    peak = memory.read()
    run.evaluate()
    evaluation = seconds(run.evaluate, device, options.repetitions)
    return Cost(counter.get_total_flops(), step, evaluation, peak, update, run.clip.embedding_dim)


def cache_seconds(options: argparse.Namespace, width: int) -> float:
    """Returns the time that the cache takes for a batch of videos, in a test of 400."""
    torch.set_num_threads(1)
    frames = like_clip(CACHED_VIDEOS, options.frames, width)
    scores = torch.randn(CACHED_VIDEOS, options.classes).softmax(1)
    ids = [str(video) for video in range(CACHED_VIDEOS)]
    taken = seconds(lambda: TransductiveCache().adapt(scores, frames, ids), "cpu", options.repetitions)
    return options.batch * taken / CACHED_VIDEOS


def consensus_seconds(options: argparse.Namespace, width: int) -> float:
    """Returns the time of a consensus, without that of encoding sentences."""
    torch.set_num_threads(1)
    names = tuple(f"class {number}" for number in range(options.classes))

    def draft(number: int) -> LabelSpace:
        texts = [[f"{kind} {number} {rank}" for rank in range(DESCRIPTORS)] for kind in ("look", "step")]
        written = {name: Descriptors(*(tuple(f"{name} {one}" for one in kind) for kind in texts)) for name in names}
        return LabelSpace(names, written)

    drafts = [draft(number) for number in range(DRAFTS)]
    vectors = like_clip(options.classes * DRAFTS * DESCRIPTORS, width)
    return seconds(lambda: consensus(drafts, lambda texts: vectors[: len(texts)], DESCRIPTORS), "cpu", 1)


@cache
def code_lines(file: Path) -> dict[int, str]:
    """Returns the lines of a file that hold code, by number, without docstrings and comments."""
    text = file.read_text(encoding="utf-8")
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    strings = [
        statement
        for node in ast.walk(ast.parse(text))
        if isinstance(node, documented)
        for statement in node.body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    ]
    docstrings = {line for one in strings for line in range(one.lineno, (one.end_lineno or one.lineno) + 1)}
    no_code = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    comments = {token.start[0]: token.start[1] for token in tokens if token.type == tokenize.COMMENT}
    lines = text.splitlines()
    return {
        line: lines[line - 1][: comments.get(line)]
        for token in tokens
        if token.type not in no_code
        for line in range(token.start[0], token.end[0] + 1)
        if line not in docstrings
    }


def lines_of(code: Code) -> int:
    """Returns the number of lines of an ingredient's code."""
    count = 0
    for file in sorted(PACKAGE.glob(code.files)):
        lines = code_lines(file)
        if code.mentions is None:
            count += len(lines)
            continue
        found = {number for number, line in lines.items() if re.search(code.mentions, line)}
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and re.search(code.mentions, node.name):
                found |= {number for number in lines if node.lineno <= number <= (node.end_lineno or 0)}
        count += len(found)
    return count


def compare(options: argparse.Namespace) -> None:
    """Prints a Markdown table of all ingredients."""
    chosen = options.ingredients or [*MEASURED]
    rows: list[tuple[str, Cost]] = []
    with tempfile.TemporaryDirectory() as folder:
        weights = options.pretrained or str(save_random_clip(options.patch, Path(folder), options.layers))
        for name in [*(name for name in MEASURED if name in (OST, *chosen)), OST]:
            rows.append((name, in_own_process(measure, name, weights, options)))
            print(f"{name}: {rows[-1][1]}", file=sys.stderr, flush=True)
    base, again = rows[0][1], rows.pop()[1]
    print("| OST with | step: operations | time | memory | evaluation: time | lines of code |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for name, cost in rows[1:]:
        pairs = zip((cost.operations, cost.step, cost.memory, cost.evaluation), _compared(base), strict=True)
        code = MEASURED[name].code
        lines = "" if code is None else str(lines_of(code))
        print(f"| {name} | {' | '.join(f'{own / plain:.2f}' for own, plain in pairs)} | {lines} |")
    width = base.width
    for name in AFTER_TRAINING:
        more = in_own_process(cache_seconds, options, width) if name == "test-time cache" else 0.0
        evaluation = (base.evaluation + more) / base.evaluation
        print(f"| {name} | 1.00 | 1.00 | 1.00 | {evaluation:.2f} | {lines_of(AFTER_TRAINING[name])} |")
    print(
        f"\nOST: {base.operations / 1e9:.1f} billion operations, {base.step:.3f} s and {base.memory:.3f} GiB in a "
        f"training step, {base.evaluation:.3f} s in an evaluation step"
    )
    errors = [own / plain for own, plain in zip(_compared(again)[1:], _compared(base)[1:], strict=True)]
    print(f"OST once more: {errors[0]:.2f} x time, {errors[1]:.2f} x memory, {errors[2]:.2f} x evaluation time")
    for name, cost in rows:
        if cost.update:
            print(f"{name}: once per epoch {cost.update / base.step:.3f} of a step")
    taken = in_own_process(consensus_seconds, options, width)
    print(f"consensus: once, {taken:.1f} s for {options.classes} classes, and {DRAFTS} x the sentences to encode")


def _compared(cost: Cost) -> tuple[float, ...]:
    return cost.operations, cost.step, cost.memory, cost.evaluation
