"""Copies of a model on several devices, and batches of videos that are shared out among them."""

import copy
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Queue
from threading import Event, Lock, Semaphore, Thread
from typing import Final, Self, TypeVar

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.evaluation import embed, probabilities, similarities
from ost_lightning.matching import Matcher
from ost_lightning.models import DescriptorEmbeddings, FrameEmbeddings, VideoCLIP

Devices = torch.device | str | Sequence[torch.device | str]
"""A device, several of them, or their names separated by commas (`cuda:0,cuda:1`)."""
Batch = TypeVar("Batch")
Result = TypeVar("Result")
_AHEAD: Final = 2
"""Batches per device that may be finished before their results are taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Replica:
    """A model on one device.

    Attributes:
        video_clip: Encoder with its weights.
        matcher: Mechanism that scores videos against classes.
        texts: Embeddings of the sentences of K classes.
        device: Device for computation.
    """

    video_clip: VideoCLIP
    matcher: Matcher
    texts: DescriptorEmbeddings
    device: torch.device

    def copy_to(self, device: torch.device) -> Self:
        """Returns a copy on another device."""
        return type(self)(
            copy.deepcopy(self.video_clip).to(device),
            copy.deepcopy(self.matcher).to(device),
            {kind: rows.to(device, copy=True) for kind, rows in self.texts.items()},
            device,
        )

    def with_texts(self, matcher: Matcher, texts: DescriptorEmbeddings) -> Self:
        """Returns a replica with the same model, a copy of a matcher and other texts, on the same device."""
        moved = {kind: rows.to(self.device) for kind, rows in texts.items()}
        return type(self)(self.video_clip, copy.deepcopy(matcher).to(self.device), moved, self.device)

    def embed(self, clips: Tensor) -> FrameEmbeddings:
        """Embeds the frames of clips, uint8 (B, V, T, 3, S, S), as fp32 (B, V, T, d)."""
        return embed(self.video_clip, clips.to(self.device))

    def probabilities(self, embedded: FrameEmbeddings) -> Tensor:
        """Probabilities of the classes, averaged over views, (B, K), in host memory."""
        return probabilities(self.video_clip, self.matcher, self.texts, embedded).cpu()

    def similarities(self, embedded: FrameEmbeddings) -> Tensor:
        """Similarities of the classes, averaged over views, (B, K), in host memory."""
        views = similarities(self.video_clip, self.matcher, self.texts, embedded.flatten(0, 1))
        averaged: Tensor = views.unflatten(0, tuple(embedded.shape[:2])).mean(1)
        return averaged.cpu()


def devices(wanted: Devices | None) -> list[torch.device]:
    """Returns devices, each checked.

    Args:
        wanted: Devices; None for a GPU if available, otherwise the CPU.

    Raises:
        UserError: If there is no such device.
    """
    if wanted is None:
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    names = wanted.split(",") if isinstance(wanted, str) else [wanted] if isinstance(wanted, torch.device) else wanted
    if not names:
        raise UserError("There is no device in the list: expected at least one, such as cpu or cuda:0.")
    return [_device(name) for name in names]


def _device(name: torch.device | str) -> torch.device:
    try:
        device = torch.device(name.strip() if isinstance(name, str) else name)
    except RuntimeError as error:
        raise UserError(
            f"There is no device {str(name)!r}: expected cpu, cuda, mps, or GPUs such as cuda:0,cuda:1."
        ) from error
    backend = getattr(torch, device.type, None)
    available = getattr(torch.backends.mps if device.type == "mps" else backend, "is_available", None)
    if available is not None and not available():
        raise UserError(f"The device {device} is not available on this machine: choose another, such as cpu.")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise UserError(f"There is no device {device}: this machine has {torch.cuda.device_count()} GPUs, from cuda:0.")
    return device


def share_out(batches: Iterator[Batch], workers: Sequence[Callable[[Batch], Result]]) -> Iterator[Result]:
    """Applies whichever worker is free to each batch, and yields the results in the order of the batches.

    Args:
        batches: Batches; taken by one worker at a time, and only a little ahead.
        workers: Functions, each called in a thread of its own; a single one is called in this thread.
    """
    if len(workers) == 1:
        yield from map(workers[0], batches)
        return
    turn, slots, stopped = Lock(), Semaphore(_AHEAD * len(workers)), Event()
    # the results of batches in their order, as soon as a worker has taken them
    pending: Queue[Future[Result] | None] = Queue()

    def work(worker: Callable[[Batch], Result]) -> None:
        while True:
            slots.acquire()
            with turn:
                if stopped.is_set():
                    return
                future: Future[Result] = Future()
                try:
                    batch = next(batches)
                except StopIteration:
                    stopped.set()
                    pending.put(None)
                    return
                except BaseException as error:  # noqa: BLE001  # raised below, in the calling thread
                    stopped.set()
                    future.set_exception(error)
                    pending.put(future)
                    return
                pending.put(future)
            try:
                future.set_result(worker(batch))
            except BaseException as error:  # noqa: BLE001  # raised below, in the calling thread
                future.set_exception(error)

    threads = [Thread(target=work, args=(worker,), daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        while (future := pending.get()) is not None:
            yield future.result()
            slots.release()
    finally:
        stopped.set()
        for _ in threads:
            slots.release()
        for thread in threads:
            thread.join()
