"""How good answers are, and how far their confidences can be trusted."""

from vqa.metrics.accuracy import Version, exact_match, vizwiz_accuracy, vqa_accuracy
from vqa.metrics.answerability import answerability, average_precision
from vqa.metrics.calibration import (
    Bin,
    RiskCoverage,
    brier_score,
    calibration_error,
    equal_mass_bins,
    equal_width_bins,
    risk_coverage,
    score_confidences,
)
from vqa.metrics.dialogue import ndcg, score_ranking
from vqa.metrics.gqa import distribution, gqa_scores, grounding_share
from vqa.metrics.rephrasings import consensus
from vqa.metrics.scores import (
    Measure,
    by_type,
    check_choices,
    measure_answers,
    measures_for,
    score_answers,
    score_each,
    scored_with,
)
from vqa.metrics.wups import Similarity, Wups, WupTable, wordnet_similarity

__all__ = [
    "Bin",
    "Measure",
    "RiskCoverage",
    "Similarity",
    "Version",
    "WupTable",
    "Wups",
    "answerability",
    "average_precision",
    "brier_score",
    "by_type",
    "calibration_error",
    "check_choices",
    "consensus",
    "distribution",
    "equal_mass_bins",
    "equal_width_bins",
    "exact_match",
    "gqa_scores",
    "grounding_share",
    "measure_answers",
    "measures_for",
    "ndcg",
    "risk_coverage",
    "score_answers",
    "score_confidences",
    "score_each",
    "score_ranking",
    "scored_with",
    "vizwiz_accuracy",
    "vqa_accuracy",
    "wordnet_similarity",
]
