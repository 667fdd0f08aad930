"""Models without attention, to tell what attention adds."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from common.attention import VisualFeatures
from common.encoders import TextEncoder
from vqa.models.base import VQAModel, VQAOutput, summarise


class QuestionOnly(VQAModel):
    """The question without the picture: what the answers give away by themselves."""

    kind = "none"
    level_names = ()

    def __init__(self, answers: int, text: TextEncoder, dropout: float = 0.5) -> None:
        super().__init__()
        self.text = text
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(text.dim, answers))

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] from the summaries of the questions [B Q T]; the features [B R D] are not used."""
        return VQAOutput(self.classify(summarise(self.text, tokens, keep)))


class ImageOnly(VQAModel):
    """The picture without the question: the mean of its regions, whatever is asked."""

    kind = "none"
    level_names = ()

    def __init__(self, region_dim: int, answers: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(region_dim, answers))

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] from the features [B R D], the same for all questions [B Q T] about a picture."""
        return VQAOutput(self.classify(features.mean()).unsqueeze(1).expand(-1, keep.shape[1], -1))


class MeanPooled(VQAModel):
    """The question by the picture as a whole, without attention (Antol et al. 2015, "deeper LSTM Q norm I").

        logits = W_2 tanh(W_1 (tanh(W_q q) * tanh(W_v v)))

    with v the mean of the regions, brought to length one, and dropout before W_1 and W_2. W_v and its offset are drawn
    as large as such inputs: with PyTorch's own numbers the product would begin with next to nothing, and, where
    features have mean zero, let nothing through of the question alone.
    """

    kind = "none"
    level_names = ()

    def __init__(
        self, region_dim: int, answers: int, text: TextEncoder, hidden_dim: int = 1024, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.text = text
        self.map_question = nn.Linear(text.dim, hidden_dim)
        self.map_picture = nn.Linear(region_dim, hidden_dim)
        for parameter in self.map_picture.parameters():
            nn.init.normal_(parameter)
        self.classify = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(hidden_dim, hidden_dim), nn.Tanh(), nn.Dropout(dropout),
            nn.Linear(hidden_dim, answers),
        )  # fmt: skip

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture."""
        question = torch.tanh(self.map_question(summarise(self.text, tokens, keep)))  # [B Q E]
        picture = torch.tanh(self.map_picture(nn.functional.normalize(features.mean(), dim=-1)))  # [B E]
        return VQAOutput(self.classify(question * picture.unsqueeze(1)))
