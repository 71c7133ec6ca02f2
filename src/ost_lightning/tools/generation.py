"""`ost descriptors generate`."""

import asyncio
import csv
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.files import atomic_write
from ost_lightning.text import LabelSpace
from ost_lightning.text.generation.journal import Journal, Question
from ost_lightning.text.generation.prompts import Prompts
from ost_lightning.text.generation.settings import Limits, Sampling
from ost_lightning.text.generation.state import Generation

if TYPE_CHECKING:
    from ost_lightning.text.generation.server import Server

JOURNAL: Final = "journal.jsonl"
INCOMPLETE: Final = "incomplete.csv"
_SHOWN: Final = 5


def generate(
    *,
    label_space: str,
    output: Path,
    model: str = "gpt-3.5-turbo",
    temperature: float | None = 0.7,
    seed: int | None = 0,
    descriptors_per_class: int = 4,
    prompts: str = "ost",
    structured: bool = True,
    dry_run: bool = False,
    limits: Limits = Limits(),  # frozen
) -> None:
    """Lets an LLM write Spatio-Temporal Descriptors for the classes of a label space.

    The server is OpenAI's (OPENAI_API_KEY), or any with the same protocol (OPENAI_BASE_URL). Every answer is kept in
    `journal.jsonl` in the output folder before it is read: a stopped or killed run goes on with the same command, and
    nothing is asked twice. Answers that can't be used are asked for again up to a limit; exit status 1 if lists are
    missing at the end, with all others kept.

    Args:
        label_space: Label space with the classes: name or folder.
        output: Folder of the new label space and of its journal.
        model: Name that the server knows; the paper's is GPT-3.5.
        temperature: Sampling temperature; null leaves it to the server.
        seed: Seed of the first attempt, further ones count up; null leaves it to the server.
        descriptors_per_class: Number of descriptors of each kind.
        prompts: A name out of prompts/descriptors (ost, ranked), or a YAML file.
        structured: Ask for JSON by a schema; goes on without where the server does not know that.
        dry_run: Print how many requests and about how many tokens it would take, and ask nothing.
        limits: Concurrency, time-outs, retries and attempts.
    """
    labels = LabelSpace.load(label_space)
    asked = Prompts.load(prompts)
    sampling = Sampling(model, temperature, seed, descriptors_per_class, asked.digest)
    _check_folder(output, labels)
    with ExitStack() as stack:
        folder = output
        if dry_run and not (output / JOURNAL).is_file():
            folder = Path(stack.enter_context(TemporaryDirectory()))
        journal = stack.enter_context(Journal(folder / JOURNAL))
        generation = Generation(labels, asked, sampling, limits, journal, structured=structured)
        print(_estimate(generation))
        if dry_run:
            return
        end: UserError | None = None
        if generation.open_questions():
            generation.record_settings()
            end = _ask(generation)
        _finish(generation, output, end)


def _ask(generation: Generation) -> UserError | None:
    """Asks; returns what ended it early, if something did."""
    # imports the openai package, which every other command does without
    from ost_lightning.text.generation.server import Server

    async def run() -> None:
        async with Server(generation.limits) as server:
            await _ask_with_progress(generation, server)

    try:
        asyncio.run(run())
    except UserError as error:
        return error
    return None


async def _ask_with_progress(generation: Generation, server: "Server") -> None:
    from ost_lightning.text.generation.asking import Asker

    done = sum(map(generation.is_done, generation.questions))
    again = unanswered = 0
    with tqdm(total=len(generation.questions), initial=done, desc="lists of descriptors", unit="list") as bar:

        def progress(question: Question, problem: str) -> None:
            nonlocal again, unanswered
            unanswered += question in generation.unanswered
            again += bool(problem) and question not in generation.unanswered
            bar.set_postfix(unusable=again, unanswered=unanswered, refresh=False)
            bar.update(not problem)

        await Asker(generation, server, progress).run()


def _check_folder(out: Path, labels: LabelSpace) -> None:
    """Refuses to write over what was not generated from these classes."""
    if not (out / "classes.txt").is_file():
        return
    if LabelSpace.load(out).names != labels.names:
        raise UserError(f"{out} is a label space with other classes than {labels.origin}. Choose another folder.")
    if (out / "descriptors.json").is_file() and not (out / JOURNAL).is_file():
        raise UserError(f"{out} holds descriptors that were not generated there. Choose another folder.")


def _estimate(generation: Generation) -> str:
    estimate = generation.estimate()
    return (
        f"{len(generation.labels)} classes, {estimate.answered} of {len(generation.questions)} lists are there; "
        f"{estimate.requests} requests to {generation.sampling.model} wait: about {estimate.prompt_tokens} tokens to "
        f"read and {estimate.completion_tokens} to write"
    )


def _finish(generation: Generation, out: Path, end: UserError | None) -> None:
    """Writes the lists that were answered, and reports the tokens used and the lists that are missing."""
    usage = generation.usage
    print(
        f"{usage.answers} answers in all, {usage.prompt_tokens} tokens read and {usage.completion_tokens} written by "
        "the server's count"
    )
    result, problems = generation.result(str(out)), generation.problems()
    if result.descriptors:
        result.save(out)
    _write_incomplete(problems, out / INCOMPLETE)
    if end is not None:
        raise end
    if problems:
        shown = "; ".join(f"{question}: {reason}" for question, reason in list(problems.items())[:_SHOWN])
        raise UserError(
            f"{len(problems)} of {len(generation.questions)} lists are missing, all others are in {out}: {shown}"
            f"{'; ...' if len(problems) > _SHOWN else ''}. All are in {out / INCOMPLETE}. The same command asks again "
            "for what got no answer; --limits.attempts raises the number of answers to a list."
        )
    count = generation.sampling.per_class
    print(f"{out}: {len(result)} classes, {count} descriptors of each kind; next: ost descriptors check {out}")


def _write_incomplete(problems: dict[Question, str], file: Path) -> None:
    if not problems:
        file.unlink(missing_ok=True)
        return
    with atomic_write(file) as partial, partial.open("w", newline="", encoding="utf-8") as handle:
        rows = csv.writer(handle)
        rows.writerow(["class", "kind", "reason"])
        rows.writerows((question.name, question.kind, reason) for question, reason in problems.items())
