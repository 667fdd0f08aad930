"""The captioner as a Lightning module: the one place where its parts are put together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from captioning.data import CaptionBatch, CaptioningData
from captioning.decoders import Decoder
from captioning.metrics import bleu, cider_d
from captioning.objectives import Captions, Objective
from captioning.predictions import Teller
from common.attention import AttentionMechanism, VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import load_image
from common.data.module import SPLITS
from common.data.records import Prediction
from common.data.tokenizer import tokenize
from common.data.vocabulary import Vocabulary
from common.errors import ConfigError
from common.explain.canvas import figure_to_image
from common.explain.overlays import draw_caption
from common.products import fast_products
from common.search import Draws, Search, beam_search, find
from common.search.constraints import encode
from common.training.checkpoints import build_encoder
from common.training.optimisation import Optimisation
from common.training.parts import Part, build, find_class, read_part
from common.training.task import SHOWN, SHOWN_DPI, ShownExample, TaskModule

GREEDY = 1


class CaptioningModule(TaskModule):
    """Pictures to captions.

    Args:
        encoder: a `VisualEncoder`.
        decoder: a `captioning.decoders.Decoder`.
        objectives: the `captioning.objectives.Objective`s whose terms are added up.
        vocabulary: the words by id, as `Vocabulary.words`.
        attention: the decoder's `AttentionMechanism`; None for a decoder that is made of attention itself.
        encoder_weights: see `build_encoder`: "hub", the path of a local file or of a checkpoint, or None.
        search: how captions are searched for at test time; validation searches greedily.

    Raises:
        ConfigError: there are no objectives, a part's recipe is wrong, the decoder lacks its attention or has no use
            for the one given, or the search names a word that is not in the vocabulary.
    """

    task = "captioning"
    script = "scripts/caption.py"
    metric = "val/CIDEr-D"
    networks = ("encoder", "decoder")
    data = CaptioningData

    def __init__(
        self,
        encoder: Part,
        decoder: Part,
        objectives: list[Part],
        vocabulary: list[str],
        attention: Part | None = None,
        encoder_weights: str | None = None,
        optimisation: Optimisation = Optimisation(),
        search: Search = Search(),
    ) -> None:
        super().__init__()
        if not objectives:
            raise ConfigError("objectives is empty: name one at least, such as captioning.objectives.CrossEntropy")
        self.save_hyperparameters(logger=False)
        self.words = Vocabulary(vocabulary)
        self.encoder = build_encoder(encoder, encoder_weights)
        self.decoder: Decoder[Any] = build(
            decoder,
            Decoder,
            vocabulary_size=len(self.words),
            region_dim=self.encoder.dim,
            **_given_attention(decoder, attention),
        )
        self.objectives = nn.ModuleList(build(objective, Objective, vocabulary=self.words) for objective in objectives)
        self.optimisation = optimisation
        self.search = search
        encode(search, self.words)  # what it says of words is refused now, not after the training
        self._references: dict[int | str, list[list[str]]] = {}

    def attach(self, data: CaptioningData, splits: Collection[str] = SPLITS) -> None:
        """Tell the data how this model wants its pictures and words, and which `splits` are wanted.

        The objectives learn what there is to know of the training split, where it is one of these.
        """
        data.attach(self.encoder, self.words.words, splits)
        if "train" in splits and data.sources["train"] is not None:
            for objective in self.objectives:
                objective.prepare(data.records("train"))  # type: ignore[operator]

    def forward(self, batch: CaptionBatch) -> dict[str, Float[Tensor, ""]]:
        """The objectives' terms, scalars by name, on the captions [B Q T] of a batch."""
        return self._terms(self._captions(batch, self.features(batch.visual)))

    def _captions(self, batch: CaptionBatch, features: VisualFeatures) -> Captions:
        inputs, targets, keep = batch.tokens[..., :-1], batch.tokens[..., 1:], batch.keep[..., 1:]
        return Captions(self.decoder, features, inputs, targets, keep, batch.records)

    def _terms(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        return {name: term for objective in self.objectives for name, term in objective(captions).items()}

    def training_step(self, batch: CaptionBatch, batch_index: int) -> Tensor:
        """The scalar loss."""
        with fast_products():
            terms = self(batch)
        loss = torch.stack(list(terms.values())).sum()
        size = len(batch.records)
        self.log_dict({f"train/{name}": term.detach() for name, term in terms.items()}, batch_size=size)
        for objective in self.objectives:
            readings = objective.readings()  # type: ignore[operator]
            self.log_dict({f"train/{name}": value for name, value in readings.items()}, batch_size=size)
        self.log("train/loss", loss.detach(), batch_size=size)
        return loss

    def validation_step(self, batch: CaptionBatch, batch_index: int) -> None:
        """Losses on the given captions, and captions of the model's own."""
        features = self.features(batch.visual)
        captions = self._captions(batch, features)
        counts: dict[str, Tensor] = {}
        with fast_products():
            terms = self._terms(captions)
            for objective in self.objectives:
                counts |= objective.counted(captions)  # type: ignore[operator]
        found = beam_search(self.decoder, features, Search(GREEDY, self.search.longest))
        examples = []
        for record, hypotheses in zip(batch.records, found, strict=True):
            if record.image_id not in self._references:
                self._references[record.image_id] = [tokenize(caption) for caption in record.captions]
            written = self.words.decode(hypotheses[0].tokens)
            examples.append((record.image_id, (written, self._references[record.image_id])))
        self.findings.add(terms, examples, counts)

    def validation_scores(self, examples: Mapping[int | str, tuple[list[str], list[list[str]]]]) -> dict[str, float]:
        """CIDEr-D and BLEU-4 of the greedy captions, times 100."""
        written, references = map(list, zip(*examples.values(), strict=True))
        return {"CIDEr-D": 100 * cider_d(written, references), "BLEU-4": 100 * bleu(written, references)[3]}

    @torch.no_grad()
    def caption(self, visual: ImageBatch | VisualFeatures, search: Search | Draws | None = None) -> list[Prediction]:
        """Captions of pictures, with where the decoder looked before each word."""
        features = self.features(visual)
        found = find(self.decoder, features, search or self.search, self.words)
        return Teller(self.words, self.decoder.kind, self.decoder.part_axis)(found, features.layout.to("cpu"))

    def show_examples(self, data: CaptioningData) -> list[ShownExample]:
        """The first pictures of the validation split, captioned by the model as it is now."""
        records = data.records("val")[:SHOWN]
        predictions = self.caption(data.collate("val", data.visual, self.words.words)(records).visual.to(self.device))
        examples = []
        for record, prediction in zip(records, predictions, strict=True):
            image = load_image(record.image)
            figure = figure_to_image(draw_caption(image, prediction, dpi=SHOWN_DPI))
            examples.append(ShownExample(image, prediction, " / ".join(record.captions), figure))
        return examples


def _given_attention(decoder: Part, attention: Part | None) -> dict[str, Any]:
    """What the decoder is given to make its attention with: nothing where it takes none.

    Raises:
        ConfigError: it takes one and there is none, or the other way round.
    """
    path, _ = read_part(decoder)
    takes = "attention" in signature(find_class(path, Decoder)).parameters
    if attention is None:
        if takes:
            raise ConfigError(f"{path} needs attention: name a mechanism, such as common.attention.Attention")
        return {}
    if not takes:
        raise ConfigError(f"{path} is made of attention itself and takes no other: write attention: null")
    return {"attention": partial(build, attention, AttentionMechanism)}
