"""The VQA model as a Lightning module: the one place where its parts are put together."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import partial
from inspect import Parameter, signature
from itertools import starmap
from typing import Any

import torch
from torch import Tensor, nn

from common.attention import AttentionMap, Boxes, CoAttention, Grid, VisualFeatures, Words
from common.data.batches import ImageBatch
from common.data.images import load_image
from common.data.module import SPLITS
from common.data.records import Prediction
from common.data.tokenizer import tokenize
from common.data.vocabulary import Vocabulary
from common.encoders import TextEncoder, VisualEncoder
from common.errors import ConfigError, DataError
from common.explain.canvas import figure_to_image
from common.explain.overlays import draw_answer
from common.products import fast_products
from common.training.checkpoints import build_encoder
from common.training.optimisation import Optimisation
from common.training.parts import Part, build, find_class, read_part
from common.training.task import SHOWN, SHOWN_DPI, ShownExample, TaskModule
from vqa.answers import most_common_answer
from vqa.data import VQABatch, VQAData
from vqa.heads import AnswerHead, ClassHead, Ranked
from vqa.models import Lesson, VQAModel, VQAOutput
from vqa.objectives import AnswerObjective
from vqa.questions import Encoding, Question, Texts
from vqa.temperature import read_temperature


class VQAModule(TaskModule):
    """Pictures and questions to answers.

    Args:
        encoder: a `VisualEncoder`.
        text: the question's `TextEncoder`.
        model: a `vqa.models.VQAModel`.
        objective: an `AnswerObjective` over the known answers, or an `AnswerHead` that answers in another way.
        vocabulary: the words by id, as `Vocabulary.words`.
        answers: the known answers.
        co_attention: the model's `CoAttention`; those that are given none have no use for it.
        encoder_weights: see `build_encoder`: "hub", the path of a local file or of a checkpoint, or None.

    Raises:
        ConfigError: a recipe is wrong, or the parts do not go together.
    """

    task = "vqa"
    script = "scripts/answer.py"
    metric = "val/accuracy"
    networks = ("encoder", "model")
    data = VQAData

    def __init__(
        self,
        encoder: Part,
        text: Part,
        model: Part,
        objective: Part,
        vocabulary: list[str],
        answers: list[str],
        co_attention: Part | None = None,
        encoder_weights: str | None = None,
        optimisation: Optimisation = Optimisation(),
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.words = Vocabulary(vocabulary)
        self.encoding = Encoding(self.words)
        self.answers = answers
        self.encoder = build_encoder(encoder, encoder_weights)
        self.head = _build_head(objective, answers, self.words)
        self.model = build(
            model,
            VQAModel,
            region_dim=self.encoder.dim,
            answers=self.head.width,
            vocabulary_size=len(self.words),
            text=build(text, TextEncoder, vocabulary_size=len(self.words)),
            **_given_attention(model, co_attention),
        )
        if self.model.memorises:
            _check_memorable(type(self.model).__name__, self.head, self.encoder)
        self.optimisation = optimisation
        self.temperature = 1.0

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take over the temperature of a checkpoint that scripts/calibrate.py wrote; training goes on without it."""
        self.temperature = read_temperature(checkpoint)

    def attach(self, data: VQAData, splits: Collection[str] = SPLITS) -> None:
        """Tell the data how this model wants its pictures, words and answers, and which `splits` are wanted."""
        data.attach(self.encoder, self.words.words, self.answers, splits)

    @torch.no_grad()
    def memorise(self, data: VQAData) -> None:
        """Show a model that memorises all training questions."""
        if self.model.memorises:
            self.model.memorise(self._lessons(data))

    def _lessons(self, data: VQAData) -> Iterator[Lesson]:
        """All training questions, with features as they are once the encoder has seen all training pictures."""
        pictures, size = data.items("train"), data.loading.batch_size
        collate = data.collate("val", data.visual, self.words.words)  # which draws no questions
        for seen in (False, True):
            self.encoder.train(not seen)
            for first in range(0, len(pictures), size):
                batch = collate(pictures[first : first + size]).to(self.device)
                features = self.features(batch.visual)
                if seen:
                    yield Lesson(features, batch.tokens, batch.keep, batch.targets)
        self.encoder.train()

    def forward(self, batch: VQABatch) -> VQAOutput:
        """The model's output [B Q W] on a batch of questions."""
        return self._look(self.features(batch.visual), batch.tokens, batch.keep, batch.facts)

    def _look(self, features: VisualFeatures, tokens: Tensor, keep: Tensor, facts: Texts | None) -> VQAOutput:
        with fast_products():
            if self.model.reads_facts:
                return self.model(features, tokens, keep, facts)
            return self.model(features, tokens, keep)

    def training_step(self, batch: VQABatch, batch_index: int) -> Tensor:
        """The scalar loss."""
        output = self(batch).logits
        terms = self.head.losses(output, batch)
        loss = torch.stack(list(terms.values())).sum()
        size = int(batch.asked.sum())
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, batch_size=size)
        self.log("train/loss", loss.detach(), batch_size=size)
        self.log("train/accuracy", self.head.accuracy(output.detach(), batch), batch_size=size)
        return loss

    def validation_step(self, batch: VQABatch, batch_index: int) -> None:
        """Losses, and the accuracy in percent."""
        output = self(batch).logits
        terms = self.head.losses(output, batch)
        asked = ((record.question_id, None) for records in batch.records for record in records)
        counted = self.head.counted(batch)
        counts = dict.fromkeys(terms, counted.losses) | {"accuracy": counted.accuracy}
        self.findings.add(terms | {"accuracy": self.head.accuracy(output, batch)}, asked, counts)

    @torch.no_grad()
    def answer(
        self, visual: ImageBatch | VisualFeatures, questions: Sequence[Sequence[Question | str]]
    ) -> list[list[Prediction]]:
        """Answers to the questions about each picture, with where the model looked at each level.

        Words that the model does not know are read as unknown words: see `unknown_words`.

        Raises:
            DataError: a question has no words.
        """
        asked = self.checked(questions)
        output, layout = self.look(visual, asked)
        answers = self.head.answers(output.logits / self.temperature, asked)
        output, layout = output.cpu(), layout.to("cpu")
        return [
            [
                as_prediction(ranked, self._maps(output, (row, column), layout.select(row), question))
                for column, (question, ranked) in enumerate(zip(row_asked, row_answers, strict=True))
            ]
            for row, (row_asked, row_answers) in enumerate(zip(asked, answers, strict=True))
        ]

    def checked(self, questions: Sequence[Sequence[Question | str]]) -> list[list[Question]]:
        """The questions about each picture; raises DataError where one has no words."""
        return [[self._checked(question) for question in row] for row in questions]

    def look(
        self, visual: ImageBatch | VisualFeatures, asked: Sequence[Sequence[Question]]
    ) -> tuple[VQAOutput, Grid | Boxes]:
        """The model's output [B Q W] on the questions about each picture, and where its regions lie."""
        tokens, keep = self.encoding.questions([[question.text for question in row] for row in asked])
        facts = self.encoding.texts([[question.facts for question in row] for row in asked])
        features = self.features(visual)
        output = self._look(features, tokens.to(self.device), keep.to(self.device), facts.to(self.device))
        return output, features.layout

    def show_examples(self, data: VQAData) -> list[ShownExample]:
        """A question about each of the first pictures of the validation split, answered by the model as it is now."""
        records = [asked[index % len(asked)] for index, asked in enumerate(data.items("val")[:SHOWN])]
        batch = data.collate("val", data.visual, self.words.words)([[record] for record in records])
        predictions = self.answer(batch.visual.to(self.device), [[Question.of(record)] for record in records])
        examples = []
        for record, (prediction,) in zip(records, predictions, strict=True):
            image, truth = load_image(record.image), most_common_answer(record.answers, data.classes.normalise)
            figure = figure_to_image(draw_answer(image, record.question, prediction, truth, dpi=SHOWN_DPI))
            examples.append(ShownExample(image, prediction, f"{record.question} {truth}", figure))
        return examples

    def unknown_words(self, text: str) -> list[str]:
        """The words of a question, or of a fact, that the model has not learned."""
        return [word for word in tokenize(text) if word not in self.words]

    def _checked(self, question: Question | str) -> Question:
        question = Question(question) if isinstance(question, str) else question
        if not tokenize(question.text):
            raise DataError(f"the question {question.text!r} has no words")
        return question

    def _maps(
        self, output: VQAOutput, place: tuple[int, int], layout: Grid | Boxes, question: Question
    ) -> dict[str, AttentionMap]:
        """The maps "image" (level x region), "question" (level x word) and "facts" (level x fact) of one question.

        "image, parts" and "facts, parts" have the looks of each head, hop or glimpse in front, where there are such.
        """
        words, facts = Words(tuple(tokenize(question.text))), Words(question.facts)
        maps: dict[str, AttentionMap] = {}
        for name, axis, keys, weights, parts in (
            ("image", "region", layout, output.region_weights, output.region_parts),
            ("question", "word", words, output.word_weights, None),
            ("facts", "fact", facts, output.fact_weights, output.fact_parts),
        ):
            if weights is None or keys == Words(()):
                continue
            maps[name] = self._map(weights[place], ("level", axis), keys)
            if parts is not None and self.model.part_axis:
                axes = self.model.part_axis, "level", axis
                maps[f"{name}, parts"] = self._map(parts[place].transpose(0, 1), axes, keys)  # [P L K]
        return maps

    def _map(self, weights: Tensor, axes: tuple[str, ...], keys: Grid | Boxes | Words) -> AttentionMap:
        if isinstance(keys, Words):
            weights = weights[..., : len(keys.labels)]
        return AttentionMap(weights, axes, keys, self.model.kind, self.model.level_names)


def as_prediction(ranked: Ranked, maps: dict[str, AttentionMap]) -> Prediction:
    """The best answer with the next best ones, and where the model looked."""
    best, *others = ranked.best
    return Prediction(*best, tuple(starmap(Prediction, others)), maps=maps, choice_scores=ranked.choices)


def _build_head(objective: Part, answers: list[str], words: Vocabulary) -> AnswerHead:
    """The head that is named, or, by its objective, the one for the known answers."""
    if issubclass(find_class(read_part(objective)[0], nn.Module), AnswerHead):
        return build(objective, AnswerHead, answers=answers, words=words)
    return ClassHead(answers, build(objective, AnswerObjective))


def _check_memorable(model: str, head: AnswerHead, encoder: VisualEncoder) -> None:
    """See that there is what a model memorises: scores of known answers, and features that stay as they are.

    Raises:
        ConfigError: there is not.
    """
    if not isinstance(head, ClassHead):
        raise ConfigError(
            f"{model} memorises the scores of known answers: name an objective over these, such as "
            f"vqa.objectives.LabelCrossEntropy, in place of {type(head).__name__}"
        )
    if not encoder.frozen:
        raise ConfigError(
            f"{model} memorises features, which training would change: set the encoder's train_from to null"
        )


def _given_attention(model: Part, co_attention: Part | None) -> dict[str, Any]:
    """What the model is given to make its co-attention with.

    Raises:
        ConfigError: it needs one and there is none.
    """
    if co_attention is not None:
        return {"co_attention": partial(build, co_attention, CoAttention)}
    path, _ = read_part(model)
    wanted = signature(find_class(path, VQAModel)).parameters.get("co_attention")
    if wanted is not None and wanted.default is Parameter.empty:
        raise ConfigError(f"{path} needs co_attention: name one, such as common.attention.ParallelCoAttention")
    return {}
