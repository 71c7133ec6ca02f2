"""`ost descriptors generate`: descriptors written by an LLM."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from tqdm import tqdm

from ost_lightning.errors import UserError
from ost_lightning.text import LabelSpace
from ost_lightning.text.generation.describing import JOURNAL
from ost_lightning.text.generation.journal import Journal, Question
from ost_lightning.text.generation.prompts import Prompts
from ost_lightning.text.generation.settings import Limits, Sampling
from ost_lightning.text.generation.state import Generation
from ost_lightning.tools.problem_table import write_problems
from ost_lightning.vocabulary import counted

if TYPE_CHECKING:
    from ost_lightning.text.generation.server import Server

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
    rephrased_names: int = 0,
    prompts: str = "ost",
    language: str = "en",
    structured: bool = True,
    dry_run: bool = False,
    limits: Limits = Limits(),  # frozen
) -> None:
    """Generates Spatio-Temporal Descriptors for the classes of a label space with an LLM.

    The server is OpenAI's (OPENAI_API_KEY), or any server with the same protocol (OPENAI_BASE_URL). Every answer is
    saved to `journal.jsonl` in the output folder before it is parsed. After an interruption, the same command continues
    without repeating a request. Unusable answers are requested again up to a limit. The exit status is 1 if lists are
    missing at the end; all other lists are written.

    Args:
        label_space: Label space with the classes: name or folder.
        output: Folder for the new label space and its journal.
        model: Model name as the server knows it; the paper uses GPT-3.5.
        temperature: Sampling temperature; null for the server's default.
        seed: Seed of the first attempt, increased by one per further attempt; null for the server's default.
        descriptors_per_class: Number of descriptors of each kind.
        rephrased_names: Number of phrases per class that say in other words what its name says, for scores by name.
        prompts: Name of prompts in prompts/descriptors (ost, ranked), or a YAML file.
        language: Language of the descriptors: ISO 639-1 code (de, zh) or English name. Class names stay as they are.
        structured: Whether to request JSON by a schema; continues without a schema if the server doesn't support it.
        dry_run: Whether to only print the number of requests and an estimate of tokens, without sending requests.
        limits: Concurrency, timeouts, retries and attempts.
    """
    labels = LabelSpace.load(label_space)
    loaded = Prompts.load(prompts, language)
    if rephrased_names and not loaded.rephrase:
        raise UserError(
            f"The prompts '{loaded.origin}' can't ask for rephrased names: add the key 'rephrase' to them, or choose "
            "--prompts ost."
        )
    digests = loaded.digest, rephrased_names, loaded.rephrase_digest
    sampling = Sampling(model, temperature, seed, descriptors_per_class, *digests)
    _check_folder(output, labels)
    with ExitStack() as stack:
        folder = output
        if dry_run and not (output / JOURNAL).is_file():
            folder = Path(stack.enter_context(TemporaryDirectory()))
        journal = stack.enter_context(Journal(folder / JOURNAL))
        generation = Generation(labels, loaded, sampling, limits, journal, structured=structured)
        print(estimate(generation))
        if dry_run:
            return
        end: UserError | None = None
        if generation.open_questions():
            generation.record_settings()
            end = ask(generation)
        _finish(generation, output, end)


def ask(generation: Generation) -> UserError | None:
    """Sends the open requests, and returns the error that ended them early; None if all were sent."""
    # imports the openai package, which no other command needs
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


def _check_folder(output: Path, labels: LabelSpace) -> None:
    """Rejects a folder with other classes, or with descriptors that were not generated in it."""
    if not (output / "classes.txt").is_file():
        return
    if LabelSpace.load(output).names != labels.names:
        raise UserError(f"{output} is a label space with other classes than {labels.origin}. Choose another folder.")
    if (output / "descriptors.json").is_file() and not (output / JOURNAL).is_file():
        raise UserError(f"{output} contains descriptors that were not generated there. Choose another folder.")


def estimate(generation: Generation) -> str:
    """Returns a line with the number of requests and an estimate of tokens."""
    expected = generation.estimate()
    return (
        f"{counted(len(generation.labels), 'class', 'classes')}; {expected.answered:,} of "
        f"{counted(len(generation.questions), 'list')} already written; {counted(expected.requests, 'request')} to "
        f"send to {generation.sampling.model}: about {counted(expected.prompt_tokens, 'token')} in, "
        f"{expected.completion_tokens:,} out"
    )


def _finish(generation: Generation, output: Path, end: UserError | None) -> None:
    """Writes the answered lists, and reports the tokens used and the missing lists."""
    usage = generation.usage
    print(
        f"{counted(usage.answers, 'answer')} in total; by the server's count {usage.prompt_tokens:,} tokens in, "
        f"{usage.completion_tokens:,} out"
    )
    result, problems = generation.result(str(output)), generation.problems()
    if result.descriptors:
        result.save(output)
    missing = [(question.name, question.kind, reason) for question, reason in problems.items()]
    write_problems(output / INCOMPLETE, ("class", "kind", "reason"), missing)
    if end is not None:
        raise end
    if problems:
        shown = "; ".join(f"{question}: {reason}" for question, reason in list(problems.items())[:_SHOWN])
        raise UserError(
            f"{len(problems)} of {len(generation.questions)} lists are missing: {shown}"
            f"{'; ...' if len(problems) > _SHOWN else ''}. {output / INCOMPLETE} names all of them; the other lists "
            f"are in {output}. Run the same command again to retry unanswered requests; raise --limits.attempts to "
            "allow more answers per list."
        )
    count = generation.sampling.per_class
    classes = counted(len(result), "class", "classes")
    print(f"{output}: {classes}, {counted(count, 'descriptor')} of each kind; next: ost descriptors check {output}")
