"""Base class of recognition tasks: model, matcher, exact evaluation and optimizer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import STEP_OUTPUT, OptimizerLRScheduler
from torch import Tensor

from ost_lightning.errors import UserError
from ost_lightning.evaluation import (
    SCORED,
    ClipGeometry,
    Evaluation,
    EvaluationBatch,
    EvaluationSet,
    Prediction,
    Scorer,
    WeightSets,
    evaluation_loaders,
    predictions,
)
from ost_lightning.matching import Matcher
from ost_lightning.models import (
    TokenizedSentences,
    VideoCLIP,
    check_weights_match,
    require_finite_weights,
    use_current_names,
    write_clip_record,
)
from ost_lightning.models.checkpoints.initial_weights import VIDEO_CLIP, weights_of
from ost_lightning.tasks.convergence import ConvergenceReport
from ost_lightning.tasks.evaluation_log import log_results
from ost_lightning.tasks.optimizer import OptimizerSettings, optimizer_and_schedule
from ost_lightning.tasks.regularizers import Regularizer, Regularizers, TrainingStep, without_regularizers
from ost_lightning.tasks.schedules import steps_of_epoch, total_steps
from ost_lightning.text import LabelSpace, SentenceSet, Templates
from ost_lightning.vocabulary import AS_TRAINED, EvaluationStage


class RecognitionTask(LightningModule, ABC):
    """Recognizes actions by matching frames with sentences.

    Evaluation logs `{stage}/{set}/top1`, `top5`, `videos` and `undecodable` for every evaluation set, over all classes
    of the set's own label space, and checks that every listed video was scored. Other scorers appear as
    `{stage}/{set}/{scorer}/top1` and so on. Label spaces come from the loaders.

    Attributes:
        weight_sets: Sets of weights that a test scores; callbacks add mixtures when the test starts.
        scorers: Additional scorers by name; callbacks add them when a test or a validation of its own starts, and
            remove them when it ends.

    Args:
        video_clip: Encoder of frames and sentences.
        matcher: Mechanism that scores videos against classes; a row of Table 4a.
        templates: Sentence templates, as the name of a file in `prompts/sentences` or the path of a YAML file.
        descriptors_per_class: Number of descriptors of each kind, N.
        optimizer: Optimizer and schedule settings.
        regularizers: Loss terms that training adds to the task's own loss.
    """

    def __init__(
        self,
        video_clip: VideoCLIP,
        matcher: Matcher,
        templates: str = "ost",
        descriptors_per_class: int = 4,
        optimizer: OptimizerSettings = OptimizerSettings(),  # frozen
        regularizers: Sequence[Regularizer] = (),  # read only
    ) -> None:
        super().__init__()
        self.video_clip, self.matcher, self.optimizer = video_clip, matcher, optimizer
        self.templates = Templates.load(templates)
        self.descriptors_per_class = descriptors_per_class
        self.regularizers = Regularizers(regularizers, video_clip)
        self.weight_sets = WeightSets(video_clip)
        self.scorers: dict[str, Scorer] = {}
        self._evaluation: Evaluation | None = None
        self._convergence = ConvergenceReport(matcher)
        self._training_tokens: TokenizedSentences | None = None

    @abstractmethod
    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Returns the loss of one micro-batch."""

    @property
    def takes_whole_steps(self) -> bool:
        """Whether a training step needs all micro-batches of an optimizer step at once."""
        return False

    @property
    def training_texts(self) -> Mapping[str, str]:
        """Digests of texts that training needs besides the classes' sentences, by their kind, for its record."""
        return {}

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation in progress.

        Raises:
            RuntimeError: If no evaluation is in progress.
        """
        if self._evaluation is None:
            raise RuntimeError("no evaluation is in progress: score videos with Trainer.validate, test or predict")
        return self._evaluation

    @property
    def training_tokens(self) -> TokenizedSentences:
        """Tokens of the training classes' sentences.

        Raises:
            RuntimeError: If training has not started.
        """
        if self._training_tokens is None:
            raise RuntimeError("the training classes have not been tokenized: start training with Trainer.fit")
        return self._training_tokens

    def setup(self, stage: str) -> None:
        """Excludes buffers from DDP's synchronization, because processes have different numbers of batches.

        Before training, it prepares parts that belong to the training classes, and the regularizers.
        """
        # buffers are constants, or counts of one process
        self._ddp_params_and_buffers_to_ignore = [name for name, _ in self.named_buffers()]
        if stage == "fit" and self._trainer is not None:  # it is set up without one, too
            data: Any = self.trainer.datamodule  # type: ignore[attr-defined] # set at run time
            if (training := getattr(data, "training_set", None)) is not None:
                self._set_training_classes(training.labels)
        if stage == "fit":
            self.regularizers.prepare(self.video_clip, self.takes_whole_steps)
        else:
            self.regularizers.release()

    def _set_training_classes(self, labels: LabelSpace) -> None:
        """Prepares parts that belong to the training classes.

        Raises:
            UserError: If a callback has already copied the model without them.
        """
        sizes = [weight.shape for weight in self.parameters()]
        self.video_clip.set_training_classes(labels)
        if sizes != [weight.shape for weight in self.parameters()]:
            for callback in self.trainer.callbacks:  # type: ignore[attr-defined] # set at run time
                if isinstance(callback, StochasticWeightAveraging | WeightAveraging):
                    raise UserError(
                        f"{type(callback).__name__} copies the model before its learned contexts have the size of the "
                        "training classes: remove the callback, or set text_prompts.class_specific to false."
                    )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Updates old weight names in a checkpoint, checks the weights, and reads how they were trained.

        Raises:
            CheckpointError: If they belong to another model.
        """
        use_current_names(checkpoint)
        self.video_clip.take_classes(weights_of(checkpoint, VIDEO_CLIP))
        if self._trainer is not None and self._trainer.state.fn == TrainerFn.FITTING:
            self.regularizers.load_from(checkpoint)
        else:
            checkpoint["state_dict"] = without_regularizers(checkpoint["state_dict"], self.regularizers)
        if self.strict_loading:
            check_weights_match(self.state_dict(), checkpoint["state_dict"], "the checkpoint")
        self.video_clip.read_training(checkpoint)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the preprocessing that the weights were trained with, and states of regularizers."""
        write_clip_record(checkpoint, self.video_clip.trained_with)
        self.regularizers.save_to(checkpoint)

    def encode_training_frames(self, clips: Tensor) -> Tensor:
        """Embeds clips (B, T, 3, S, S) as `VideoCLIP` does, with any projection that regularizers train."""
        if not len(self.regularizers):
            return self.video_clip.encode_frames(clips)
        return self.video_clip.encode_frames(clips, self.regularizers.project)

    def regularized(self, loss: Tensor, videos: int, step: TrainingStep) -> Tensor:
        """Adds the regularizers to the task's own loss, and logs each as `train/{name}`.

        Args:
            loss: The task's own loss, a scalar.
            videos: Number of videos that it was computed from.
            step: What it was computed from.
        """
        for term, value in self.regularizers.values(step, self.global_step):
            if self._trainer is not None:
                self.log(f"train/{term.name}", value, batch_size=videos)
            loss = loss + term.weight * value
        return loss

    def sentences(self, labels: LabelSpace) -> SentenceSet:
        """Returns all sentences that the matcher needs."""
        tokens = self.video_clip.token_count
        return self.templates.apply(labels, self.matcher.kinds, self.descriptors_per_class, tokens)

    def tokenize(self, labels: LabelSpace) -> TokenizedSentences:
        """Tokenizes all sentences that the matcher needs."""
        return self.video_clip.tokenize(self.sentences(labels))

    def scorer(self, sets: Sequence[EvaluationSet], weights: str = AS_TRAINED) -> Scorer:
        """Returns a scorer with the task's own matcher and sentences, and one of `weight_sets`."""
        sentences = {evaluation_set.name: self.sentences(evaluation_set.labels) for evaluation_set in sets}
        return Scorer(weights, sentences, self.matcher)

    def on_train_start(self) -> None:
        """Tokenizes the training classes once, and records the preprocessing."""
        loader: Any = self.trainer.train_dataloader
        geometry: ClipGeometry | None = getattr(loader, "geometry", None)  # absent from loaders of other data modules
        preprocessing = self.video_clip.preprocessing
        if geometry is not None:
            self.video_clip.require_possible_frames(geometry.frames)
        self.video_clip.trained_with = geometry.in_preprocessing(preprocessing) if geometry is not None else None
        self._training_tokens = self.tokenize(loader.labels)

    def on_validation_epoch_start(self) -> None:
        """Begins a new evaluation."""
        self._begin(self.trainer.val_dataloaders)

    def on_test_epoch_start(self) -> None:
        """Begins a new evaluation."""
        self._begin(self.trainer.test_dataloaders)

    def on_predict_epoch_start(self) -> None:
        """Begins a new evaluation."""
        self._begin(self.trainer.predict_dataloaders)

    def validation_step(self, batch: EvaluationBatch, batch_idx: int, dataloader_idx: int = 0) -> STEP_OUTPUT:
        """Scores and counts a batch."""
        return self._evaluate(batch, dataloader_idx)

    def test_step(self, batch: EvaluationBatch, batch_idx: int, dataloader_idx: int = 0) -> STEP_OUTPUT:
        """Scores and counts a batch; the output contains the scored batch under `SCORED`, for callbacks."""
        return self._evaluate(batch, dataloader_idx)

    def predict_step(self, batch: EvaluationBatch, batch_idx: int, dataloader_idx: int = 0) -> list[Prediction]:
        """Returns the most likely classes of each video."""
        return predictions(self.evaluation.score(batch, dataloader_idx))

    def on_validation_epoch_end(self) -> None:
        """Logs accuracies."""
        self._finish("val")

    def on_test_epoch_end(self) -> None:
        """Logs accuracies."""
        self._finish("test")

    def on_predict_epoch_end(self) -> None:
        """Frees the embeddings of the sentences."""
        self._evaluation = None

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Updates the weights, and keeps the logit scale below its limit."""
        super().optimizer_step(*args, **kwargs)
        self.video_clip.limit_logit_scale()

    def on_train_epoch_end(self) -> None:
        """Logs `train/unconverged`, the number of the epoch's transport problems that did not converge."""
        count = self._convergence.end_training_epoch()
        if count is not None:
            self.log("train/unconverged", float(count), sync_dist=True, reduce_fx="sum")

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Returns AdamW and its schedule, which is updated at every step.

        Raises:
            UserError: If training has no limit on its number of steps, which the schedule needs.
        """
        steps, of_epoch = total_steps(self.trainer), steps_of_epoch(self.trainer)
        return optimizer_and_schedule(self.named_parameters(), self.optimizer, steps, self.video_clip.encoder, of_epoch)

    def _begin(self, dataloaders: object) -> None:
        require_finite_weights(self)
        self._convergence.begin_evaluation()  # a validation within an epoch is counted separately
        loaders = evaluation_loaders(dataloaders)
        sets = [loader.set for loader in loaders]
        for evaluation_set in sets:
            self.video_clip.warn_about_names(self.templates.spelling(evaluation_set.labels))
        if self.trainer.state.fn != TrainerFn.FITTING:  # otherwise training is about to train the positions
            for loader in loaders:
                self.video_clip.require_trained_positions(loader.frames)
        more = self.scorers if self.trainer.state.fn in (TrainerFn.TESTING, TrainerFn.VALIDATING) else {}
        scorers = {AS_TRAINED: self.scorer(sets), **more}
        store = next((loader.store for loader in loaders if loader.store is not None), None)
        if store is not None:
            arithmetic = f"{self.trainer.precision} {self.device.type} {torch.get_float32_matmul_precision()}"
            # an encoder that relates frames needs the pixels to score them in another order
            reordered = self.video_clip.relates_frames and any(one.order is not None for one in scorers.values())
            store.open({} if reordered else self.weight_sets.fingerprints(arithmetic))
        self._evaluation = Evaluation(self.video_clip, sets, scorers, self.weight_sets, self.device, store)

    def _evaluate(self, batch: EvaluationBatch, set_index: int) -> STEP_OUTPUT:
        scored = self.evaluation.score(batch, set_index)
        self.evaluation.count(scored)
        return {SCORED: scored}

    def _finish(self, stage: EvaluationStage) -> None:
        log_results(self, stage, self.evaluation)
        self._convergence.end_evaluation({"val": "validation", "test": "test"}[stage])
        self._evaluation = None  # frees the embeddings of all sentences
