"""Consensus of several drafts of descriptors, which leaves out what only one draft says."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.text.label_files import Descriptors
from ost_lightning.text.label_space import LabelSpace
from ost_lightning.text.linting import Finding
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind

Embed = Callable[[Sequence[str]], Tensor]
"""Text encoder: n texts to their embeddings, (n, d), L2-normalized."""

_AGREEMENT: Final = 0.5
"""Sum of the other drafts' agreement below which a descriptor is doubtful: half of what one draft may contribute."""


@dataclass(frozen=True, slots=True)
class SupportedDescriptor:
    """One descriptor of one draft, and what the other drafts say about it.

    Attributes:
        name: Class name.
        kind: Kind of the descriptor.
        draft: Number of the draft, from 0.
        rank: Position in the draft's list, from 0.
        text: Text of the descriptor.
        support: Mean, over the other drafts, of the centered cosine with the draft's descriptor of the same meaning; 0
            for a draft without one. In [0, 1].
        kept: Whether the descriptor is in the consensus.
    """

    name: str
    kind: DescriptorKind
    draft: int
    rank: int
    text: str
    support: float
    kept: bool


@dataclass(frozen=True, slots=True)
class Consensus:
    """Label space that several drafts agree on.

    Attributes:
        labels: Label space with the descriptors that were kept.
        descriptors: Every descriptor of every draft, by class, kind and draft.
    """

    labels: LabelSpace
    descriptors: tuple[SupportedDescriptor, ...]


def consensus(drafts: Sequence[LabelSpace], embed: Embed, count: int) -> Consensus:
    """Keeps, for every class and kind, the N descriptors that most drafts agree on.

    A language model that is asked several times repeats what belongs to an action, but rarely repeats a mistake
    (self-consistency; Wang et al., ICLR 2023). Two descriptors of different drafts have the same meaning if each is
    the other's nearest in its draft. Embeddings are centered over all descriptors of a kind, so that unrelated ones
    have a cosine near 0. Descriptors are kept from the most supported on, one per meaning. Kept descriptors are in the
    order of their mean position in the drafts. Neither videos nor class names are used.

    Args:
        drafts: At least two label spaces with the same classes in the same order.
        embed: Text encoder.
        count: Number N of descriptors to keep in each list.

    Raises:
        UserError: If there are fewer than two drafts, their classes differ, or a list has fewer than N descriptors.
    """
    check_drafts(drafts, count)
    merged: dict[str, dict[DescriptorKind, tuple[str, ...]]] = {name: {} for name in drafts[0].names}
    every: list[SupportedDescriptor] = []
    for kind in DESCRIPTOR_KINDS:
        # by class, draft and position
        lists = [[getattr(draft.descriptors[name], kind) for draft in drafts] for name in drafts[0].names]
        texts = [text for of_class in lists for listed in of_class for text in listed]
        distinct = list(dict.fromkeys(texts))
        vectors = embed(distinct).detach().cpu().double()
        row = {text: index for index, text in enumerate(distinct)}
        mean = vectors[[row[text] for text in texts]].mean(0)
        vectors = torch.nn.functional.normalize(vectors - mean, dim=-1)
        for name, of_class in zip(drafts[0].names, lists, strict=True):
            embedded = [vectors[[row[text] for text in listed]] for listed in of_class]
            supports, kept = agreement(embedded, count)
            merged[name][kind] = tuple(of_class[draft][rank] for draft, rank in kept)
            every += [
                SupportedDescriptor(name, kind, draft, rank, text, supports[draft][rank], (draft, rank) in kept)
                for draft, listed in enumerate(of_class)
                for rank, text in enumerate(listed)
            ]
    descriptors = {name: Descriptors(**kinds) for name, kinds in merged.items()}
    return Consensus(replace(drafts[0], descriptors=descriptors), tuple(every))


def unsupported(labels: LabelSpace, drafts: Sequence[LabelSpace], embed: Embed) -> list[Finding]:
    """Returns the descriptors of a label space that hardly any other draft has; they may be hallucinated.

    Args:
        labels: Label space to check.
        drafts: Other drafts of its descriptors, at least one.
        embed: Text encoder.

    Raises:
        UserError: If there is no other draft, or the drafts can't be compared.
    """
    return [
        Finding("unsupported", one.name, one.kind, one.text, f"is in no other draft (support {one.support:.2f})")
        for one in consensus([labels, *drafts], embed, 1).descriptors
        if one.draft == 0 and one.support * len(drafts) < _AGREEMENT
    ]


def agreement(drafts: Sequence[Tensor], count: int) -> tuple[list[list[float]], list[tuple[int, int]]]:
    """Returns how much the drafts of one list support each descriptor, and which descriptors to keep.

    Args:
        drafts: Centered unit vectors of each draft's descriptors, (N_i, d).
        count: Number of descriptors to keep, at most the least N_i.

    Returns:
        Supports by draft and position; draft and position of the kept descriptors, in the order of their mean
        positions.
    """
    sizes = [len(draft) for draft in drafts]
    partners: dict[tuple[int, int], list[tuple[int, int]]] = {}
    supports = [[0.0] * size for size in sizes]
    for first, own in enumerate(drafts):
        for second, other in enumerate(drafts):
            if first == second:
                continue
            cosines = own @ other.T
            nearest, back = cosines.argmax(1).tolist(), cosines.argmax(0).tolist()
            for rank in range(len(own)):
                partner = nearest[rank]
                if back[partner] == rank:
                    partners.setdefault((first, rank), []).append((second, partner))
                    supports[first][rank] += max(0.0, float(cosines[rank, partner])) / (len(drafts) - 1)
    # a tie is decided by the order of drafts and ranks
    ranked = sorted(
        ((draft, rank) for draft, size in enumerate(sizes) for rank in range(size)),
        key=lambda place: (-supports[place[0]][place[1]], place),
    )
    kept: list[tuple[int, int]] = []
    said: set[tuple[int, int]] = set()
    for place in ranked:
        if place not in said and len(kept) < count:
            kept.append(place)
            said.update(partners.get(place, []))
    # all drafts may say less than N different things
    kept += [place for place in ranked if place not in kept][: count - len(kept)]
    positions = {place: [place[1], *(rank for _, rank in partners.get(place, []))] for place in kept}
    kept.sort(key=lambda place: (sum(positions[place]) / len(positions[place]), place))
    return supports, kept


def check_drafts(drafts: Sequence[LabelSpace], count: int) -> None:
    """Checks that drafts can be compared.

    Raises:
        UserError: If there are fewer than two drafts, their classes differ, or a list has fewer than N descriptors.
    """
    if len(drafts) < 2:
        raise UserError("A consensus needs at least two drafts of the descriptors: give two label spaces or more.")
    for draft in drafts:
        if draft.names != drafts[0].names:
            raise UserError(
                f"The classes of {draft.origin} are not those of {drafts[0].origin} in the same order. A consensus "
                "needs drafts of one label space."
            )
        for kind in DESCRIPTOR_KINDS:
            draft.descriptors_of(kind, count)  # names the classes with fewer
