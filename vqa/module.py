"""The VQA model as a Lightning module: the one place where its parts are put together."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from common.attention import AttentionMap, Boxes, CoAttention, Grid, VisualFeatures, Words
from common.data.batches import ImageBatch
from common.data.images import load_image
from common.data.loading import pad_texts
from common.data.module import SPLITS
from common.data.records import Prediction
from common.data.tokenizer import tokenize
from common.data.vocabulary import Vocabulary
from common.encoders import TextEncoder
from common.errors import DataError
from common.explain.canvas import figure_to_image
from common.explain.overlays import draw_answer
from common.training.checkpoints import build_encoder
from common.training.optimisation import Optimisation
from common.training.parts import Part, build
from common.training.task import SHOWN, SHOWN_DPI, ShownExample, TaskModule
from vqa.answers import most_common_answer
from vqa.data import VQABatch, VQAData
from vqa.models import VQAModel, VQAOutput
from vqa.objectives import AnswerObjective

ALTERNATIVES = 4  # the next best answers that a prediction names


class VQAModule(TaskModule):
    """Pictures and questions to answers.

    Args:
        encoder: a `VisualEncoder`.
        text: the question's `TextEncoder`.
        model: a `vqa.models.VQAModel`.
        co_attention: the model's `CoAttention`.
        objective: an `AnswerObjective`.
        vocabulary: the words by id, as `Vocabulary.words`.
        answers: the answers by class.
        encoder_weights: see `build_encoder`: "hub", the path of a local file or of a checkpoint, or None.
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
        co_attention: Part,
        objective: Part,
        vocabulary: list[str],
        answers: list[str],
        encoder_weights: str | None = None,
        optimisation: Optimisation = Optimisation(),
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.words = Vocabulary(vocabulary)
        self.answers = answers
        self.encoder = build_encoder(encoder, encoder_weights)
        self.model = build(
            model,
            VQAModel,
            region_dim=self.encoder.dim,
            answers=len(answers),
            text=build(text, TextEncoder, vocabulary_size=len(self.words)),
            co_attention=partial(build, co_attention, CoAttention),
        )
        self.objective = build(objective, AnswerObjective)
        self.optimisation = optimisation

    def attach(self, data: VQAData, splits: Collection[str] = SPLITS) -> None:
        """Tell the data how this model wants its pictures, words and answers, and which `splits` are wanted."""
        data.attach(self.encoder, self.words.words, self.answers, splits)

    def forward(self, batch: VQABatch) -> VQAOutput:
        """Logits [B Q A] of a batch of questions."""
        return self.model(self.features(batch.visual), batch.tokens, batch.keep)

    def training_step(self, batch: VQABatch, batch_index: int) -> Tensor:
        """The scalar loss."""
        output = self(batch)
        terms = self.objective(output.logits[batch.asked], batch.targets[batch.asked])
        loss = torch.stack(list(terms.values())).sum()
        size = int(batch.asked.sum())
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, batch_size=size)
        self.log("train/loss", loss.detach(), batch_size=size)
        self.log("train/accuracy", mean_score(output, batch), batch_size=size)
        return loss

    def validation_step(self, batch: VQABatch, batch_index: int) -> None:
        """Losses, and the accuracy in percent."""
        output = self(batch)
        terms = self.objective(output.logits[batch.asked], batch.targets[batch.asked])
        asked = ((record.question_id, None) for records in batch.records for record in records)
        self.findings.add(terms | {"accuracy": mean_score(output, batch)}, asked)

    @torch.no_grad()
    def answer(self, visual: ImageBatch | VisualFeatures, questions: list[list[str]]) -> list[list[Prediction]]:
        """Answers to the questions about each picture, with where the model looked at each level.

        Words that the model does not know are read as unknown words: see `unknown_words`.

        Raises:
            DataError: a question has no words.
        """
        tokens, keep = pad_texts([[self._encode(question) for question in asked] for asked in questions])
        features = self.features(visual)
        output = self.model(features, tokens.to(self.device), keep.to(self.device)).cpu()
        layout = features.layout.to("cpu")
        probabilities = output.logits.softmax(-1)
        return [
            [
                self._prediction(
                    probabilities[row, column], self._maps(output, (row, column), layout.select(row), question)
                )
                for column, question in enumerate(asked)
            ]
            for row, asked in enumerate(questions)
        ]

    def show_examples(self, data: VQAData) -> list[ShownExample]:
        """A question about each of the first pictures of the validation split, answered by the model as it is now."""
        records = [asked[index % len(asked)] for index, asked in enumerate(data.items("val")[:SHOWN])]
        batch = data.collate("val", data.visual, self.words.words)([[record] for record in records])
        predictions = self.answer(batch.visual.to(self.device), [[record.question] for record in records])
        examples = []
        for record, (prediction,) in zip(records, predictions, strict=True):
            image, truth = load_image(record.image), most_common_answer(record.answers, data.classes.normalise)
            figure = figure_to_image(draw_answer(image, record.question, prediction, truth, dpi=SHOWN_DPI))
            examples.append(ShownExample(image, prediction, f"{record.question} {truth}", figure))
        return examples

    def unknown_words(self, question: str) -> list[str]:
        """The words of a question that the model has not learned."""
        return [word for word in tokenize(question) if word not in self.words]

    def _encode(self, question: str) -> list[int]:
        words = tokenize(question)
        if not words:
            raise DataError(f"the question {question!r} has no words")
        return self.words.encode(words)

    def _prediction(self, probabilities: Float[Tensor, " A"], maps: dict[str, AttentionMap]) -> Prediction:
        best = probabilities.topk(min(1 + ALTERNATIVES, len(self.answers)))
        ranked = [(self.answers[index], score) for score, index in zip(*map(Tensor.tolist, best), strict=True)]
        return Prediction(ranked[0][0], ranked[0][1], tuple(ranked[1:]), maps=maps)

    def _maps(
        self, output: VQAOutput, place: tuple[int, int], layout: Grid | Boxes, question: str
    ) -> dict[str, AttentionMap]:
        """The maps "image" (level x region) and "question" (level x word) of one question.

        "image, parts" has the looks of each head, hop or glimpse in front, where there are such.
        """
        kind, levels = self.model.kind, self.model.level_names
        maps = {}
        if output.region_weights is not None:
            maps["image"] = AttentionMap(output.region_weights[place], ("level", "region"), layout, kind, levels)
        if output.region_parts is not None and (axis := self.model.part_axis):
            parts = output.region_parts[place].transpose(0, 1)  # [P L R]
            maps["image, parts"] = AttentionMap(parts, (axis, "level", "region"), layout, kind, levels)
        if output.word_weights is not None:
            words = tuple(tokenize(question))
            weights = output.word_weights[place][:, : len(words)]
            maps["question"] = AttentionMap(weights, ("level", "word"), Words(words), kind, levels)
        return maps


def mean_score(output: VQAOutput, batch: VQABatch) -> Float[Tensor, ""]:
    """The mean score of the likeliest answers [B Q], in percent: the accuracy, where the targets are scored so."""
    best = output.logits.argmax(-1, keepdim=True)
    return 100 * batch.targets.gather(2, best).squeeze(2)[batch.asked].mean()
