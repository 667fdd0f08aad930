"""The official VQA script's steps one after the other, as its readers describe them, with none of our shortcuts."""

from __future__ import annotations

import re
import string

# Words that lose an apostrophe when people type; the table itself is data, so it is shared with the code.
from vqa.answers import _CONTRACTIONS as RESTORED

KEPT = set("'.:$%&#*~^|")  # of ASCII's punctuation; periods have a rule of their own
WORDS_FOR_NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def punctuation_step(text: str) -> str:
    thousands = any(
        text[i].isdecimal() and text[i + 1] == "," and text[i + 2].isdecimal() for i in range(len(text) - 2)
    )
    cleaned = text
    for mark in string.punctuation:
        if mark in KEPT:
            continue
        beside_space = re.search(f" {re.escape(mark)}|{re.escape(mark)} ", text) is not None
        cleaned = cleaned.replace(mark, "" if beside_space or thousands else " ")
    kept, removed = [], 0
    for place, sign in enumerate(cleaned):
        followed_by_digit = cleaned[place + 1 : place + 2].isdecimal()
        if sign == "." and not followed_by_digit and removed < 32:
            removed += 1
        else:
            kept.append(sign)
    return "".join(kept)


def word_step(text: str) -> str:
    words = []
    for word in text.lower().split():
        if word == "none":
            word = "0"
        elif word in WORDS_FOR_NUMBERS:
            word = str(WORDS_FOR_NUMBERS.index(word))
        if word in ("a", "an", "the"):
            continue
        words.append(RESTORED.get(word, word))
    return " ".join(words)


def one_line(text: str) -> str:
    return text.replace("\n", " ").replace("\t", " ").strip()


def official_accuracy(prediction: str, answers: list[str], version: str) -> float:
    """One dictionary for each annotator, who is left out by not being equal to the others."""
    annotators = [{"answer": answer, "answer_id": number} for number, answer in enumerate(answers)]
    given = one_line(prediction)
    if version == "2021":
        for annotator in annotators:
            annotator["answer"] = one_line(str(annotator["answer"]))
    else:
        given = word_step(punctuation_step(given))
    if len({annotator["answer"] for annotator in annotators}) > 1:
        for annotator in annotators:
            annotator["answer"] = punctuation_step(str(annotator["answer"]))
            if version == "2021":
                annotator["answer"] = word_step(str(annotator["answer"]))
        if version == "2021":
            given = word_step(punctuation_step(given))
    shares = []
    for annotator in annotators:
        others = [other for other in annotators if other != annotator]
        shares.append(min(1, float(len([other for other in others if other["answer"] == given])) / 3))
    return float(sum(shares)) / len(shares)


def official_overall(accuracies: list[float]) -> float:
    """As the script prints it."""
    return round(100 * float(sum(accuracies)) / len(accuracies), 2)
