"""From queries to scorers: sentences, their embeddings, and a matcher with the kinds of sentence that there are."""

from dataclasses import replace
from hashlib import blake2b
from json import dumps
from typing import Final

import torch
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.library.asking.query import Query
from ost_lightning.library.asking.scoring import SegmentScorer
from ost_lightning.matching import BALANCED, CategoryName, Matcher, OptimalDescriptorSolver, OrderContrast, TermWeights
from ost_lightning.models import constructor_settings
from ost_lightning.recognition import TrainedModel
from ost_lightning.text import Descriptors, LabelSpace, SentenceSet
from ost_lightning.vocabulary import DESCRIPTOR_KINDS, DescriptorKind, SentenceKind

_ITERATIONS: Final = 1000
"""Bound on Sinkhorn's iterations with a small epsilon, which converge slowly."""
_SIMILAR_EPSILON: Final = 0.02
"""Weight of the entropy between frames of two videos: small, so that a video is most similar to itself."""


def query_scorer(model: TrainedModel, query: Query) -> tuple[SegmentScorer, SentenceSet]:
    """Returns the scorer of a query, and its sentences.

    Without descriptors, frames are averaged and compared with the name, as in `Recognizer`. If only one kind of
    descriptor is given, the terms of the other are left out; so is the term of the name if there is none.

    Args:
        model: Model whose embeddings are scored.
        query: What to look for.

    Raises:
        UserError: If the matcher can't do with these sentences.
    """
    matcher = _query_matcher(model.matcher, query)
    sentences = SentenceSet({kind: (_sentences(model, query, kind),) for kind in matcher.kinds})
    return scorer_of(model, matcher, sentences), sentences


def label_scorer(
    model: TrainedModel, labels: LabelSpace, order_sigma: float | None = None
) -> tuple[SegmentScorer, SentenceSet]:
    """Returns the scorer of all classes of a label space, and their sentences, as in `Recognizer`.

    Args:
        model: Model whose embeddings are scored.
        labels: Label space.
        order_sigma: Width of the preference for steps in their order; None for none beyond the matcher's own.

    Raises:
        UserError: If a class has too few descriptors, or none in order.
    """
    matcher = _with_order(model.matcher if labels.descriptors else CategoryName(), order_sigma)
    count = model.descriptors_per_class
    sentences = model.templates.apply(labels, matcher.kinds, count, model.video_clip.token_count)
    if len(labels) > 1:
        model.video_clip.warn_about_names(model.templates.spelling(labels))
    return scorer_of(model, matcher, sentences), sentences


def class_scorer(
    model: TrainedModel, labels: LabelSpace, name: str, order_sigma: float | None = None
) -> tuple[SegmentScorer, SentenceSet]:
    """Returns the scorer of one class of a label space, and its sentences, as in `Recognizer`.

    Args:
        model: Model whose embeddings are scored.
        labels: Label space.
        name: Name of the class, as the label space spells it.
        order_sigma: Width of the preference for steps in their order; None for none beyond the matcher's own.

    Raises:
        UserError: If the class has too few descriptors, or none in order.
    """
    return label_scorer(model, labels.select([name]), order_sigma)


def similar_scorer(frames: Tensor, order_sigma: float | None = None) -> SegmentScorer:
    """Returns the scorer of videos like a given one: transport from their frames to its frames.

    Args:
        frames: Frame embeddings of the given video, (T, d).
        order_sigma: Width of a prior that prefers frames in the same order; None for any order.
    """
    problem = BALANCED if order_sigma is None else replace(BALANCED, order_sigma=order_sigma)
    matcher = OptimalDescriptorSolver(
        _SIMILAR_EPSILON, _ITERATIONS, terms=TermWeights(0, 0, 0, 1), temporal=problem
    ).eval()
    return SegmentScorer(None, matcher, {"temporal": frames[None]})


def scorer_of(model: TrainedModel, matcher: Matcher, sentences: SentenceSet) -> SegmentScorer:
    """Returns the scorer for sentences."""
    with torch.inference_mode():
        texts = model.video_clip.encode_sentences(model.video_clip.tokenize(sentences))
    return SegmentScorer(model.video_clip, matcher.to(model.video_clip.encoder.device).eval(), texts)


def scoring_digest(matcher: Matcher, sentences: SentenceSet) -> str:
    """Returns the digest of matcher and sentences, 16 hexadecimal digits."""
    parts = [matcher, matcher.matcher] if isinstance(matcher, OrderContrast) else [matcher]
    settings = {
        "matcher": [[type(part).__name__, constructor_settings(part)] for part in parts],
        "sentences": dict(sentences.sentences),
    }
    # escaped, so that halves of surrogate pairs don't matter
    return blake2b(dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()


def _query_matcher(matcher: Matcher, query: Query) -> Matcher:
    if not query.described:
        return _with_order(CategoryName(), query.order_sigma)
    given: list[DescriptorKind] = [kind for kind in DESCRIPTOR_KINDS if getattr(query, kind)]
    if isinstance(matcher, OptimalDescriptorSolver):
        return _with_order(_solver_for(matcher, given, named=bool(query.name)), query.order_sigma)
    if not set(DESCRIPTOR_KINDS) & set(matcher.kinds):  # trained with class names, but asked with sentences
        return _with_order(_solver_for(OptimalDescriptorSolver(), given, named=False), query.order_sigma)
    if set(matcher.kinds) - {"name"} != set(given) or ("name" in matcher.kinds and not query.name):
        raise UserError(
            f"The weights' matcher, {type(matcher).__name__}, needs {' and '.join(matcher.kinds)}: give a name, and "
            "sentences with --spatio and --temporal."
        )
    return _with_order(matcher, query.order_sigma)


def _with_order(matcher: Matcher, order_sigma: float | None) -> Matcher:
    return matcher if order_sigma is None else OrderContrast(matcher, order_sigma)


def _solver_for(
    solver: OptimalDescriptorSolver, given: list[DescriptorKind], *, named: bool
) -> OptimalDescriptorSolver:
    """The solver with the terms of the kinds that are given, and of the name if there is one."""
    name = solver.terms.name if named else 0.0
    if list(solver.descriptor_kinds) == given and name == solver.terms.name:
        return solver
    known = [kind for kind in given if kind in solver.kinds]
    pairs = {kind: solver.terms.of(kind) if known else (1.0, 1.0) for kind in known or given}
    (spatio_pooled, spatio), (temporal_pooled, temporal) = (pairs.get(kind, (0, 0)) for kind in DESCRIPTOR_KINDS)
    order = solver.terms.order if "temporal" in given else 0.0
    terms = TermWeights(spatio_pooled, temporal_pooled, spatio, temporal, name, order, solver.terms.order_sigma)
    return solver_with(solver, terms)


def solver_with(solver: OptimalDescriptorSolver, terms: TermWeights) -> OptimalDescriptorSolver:
    """Returns a solver with other weights of its terms.

    Args:
        solver: Solver with all other settings.
        terms: Weights of the terms.
    """
    return OptimalDescriptorSolver(
        float(torch.as_tensor(solver.epsilon).detach()),
        solver.max_iterations,
        solver.tolerance,
        solver.factor,
        terms,
        solver.spatio,
        solver.temporal,
    ).eval()


def _sentences(model: TrainedModel, query: Query, kind: SentenceKind) -> tuple[str, ...]:
    """Sentences of one kind, by the model's templates; without a name, by those that need none."""
    templates, tokens = model.templates, model.video_clip.token_count
    if kind == "name":
        return templates.apply(LabelSpace((query.name,)), ("name",), 1, tokens).sentences["name"][0]
    texts = query.spatio if kind == "spatio" else query.temporal
    if query.name:
        described = LabelSpace((query.name,), {query.name: Descriptors(query.spatio, query.temporal)})
        return templates.apply(described, (kind,), len(texts), tokens).sentences[kind][0]
    template = templates.spatio if kind == "spatio" else templates.temporal
    return tuple(template.format(descriptor=text) if "{name}" not in template else text for text in texts)
