"""Loaders whose workers read the first videos of a run while its model is loaded, which takes longer."""

from dataclasses import dataclass, field

from ost_lightning.datamodules.loaders import LoaderFactory
from ost_lightning.datamodules.training_loader import TrainingLoader
from ost_lightning.evaluation import EvaluationLoader
from ost_lightning.vocabulary import EvaluationStage


@dataclass(frozen=True)
class EarlyReading:
    """Loaders, one of which has workers that read already, and what the loaders were created from.

    The workers end when nothing refers to their loader any longer.

    Attributes:
        stage: Stage of the evaluation; None for a training.
        factory: Settings of the loaders.
        training_loader: Loader of a training; None for an evaluation.
        evaluation_loaders: Loaders of an evaluation.
    """

    stage: EvaluationStage | None
    factory: LoaderFactory
    training_loader: TrainingLoader | None = None
    evaluation_loaders: list[EvaluationLoader] = field(default_factory=list)

    def start(self) -> None:
        """Starts the workers of the first loader that has videos."""
        loaders = self.evaluation_loaders if self.training_loader is None else [self.training_loader]
        first = next((loader for loader in loaders if len(loader)), None)
        if first is not None and first.num_workers:
            first.start_workers()
