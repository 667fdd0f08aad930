"""VQA accuracy of as many answers as VQA v2's validation split has, against a script that keeps nothing in mind."""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from time import perf_counter

from benchmarks.timing import in_turns
from common.data.records import VQARecord
from common.errors import SaccadeError
from vqa.answers import normalise_answer, strip_answer
from vqa.metrics import score_answers, score_each, vqa_accuracy

WORDS = ("red", "two", "the", "t-shirt", "dog", "1,000", "u.s.", "on the left", "dont", "tennis racket", "5:30", "a")


def main(args: list[str] | None = None) -> None:
    """Compare the scores on the first questions, then time those, and all questions with and without types."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--questions", type=int, default=214_354, help="those of VQA v2's validation split")
    parser.add_argument("--compared", type=int, default=10_000, help="how many of them both ways score")
    parser.add_argument("--repeats", type=int, default=3, help="turns of which the median is taken")
    options = parser.parse_args(args)
    records, predictions = questions(options.questions, random.Random(0))
    begin = perf_counter()
    total = score_answers(predictions, records)["accuracy"]
    whole = perf_counter() - begin
    first = records[: options.compared]
    given = {record.question_id: predictions[record.question_id] for record in first}
    if score_each(given, first, vqa_accuracy) != [plainly(given[r.question_id], r.answers) for r in first]:
        raise SaccadeError("the scores differ from those of the plain script")
    times = in_turns(
        {
            "plain": lambda: [plainly(given[record.question_id], record.answers) for record in first],
            "Saccade": lambda: score_each(given, first, vqa_accuracy),
        },
        options.repeats,
    )
    print(f"{len(records):,} questions, ten answers each: {whole:.2f} s, with nothing cached before ({total:.2f} %)")
    print(f"{len(first):,} of them, medians of {options.repeats} turns:")
    for name, seconds in times.items():
        print(f"  {name:<8}{1e6 * seconds / len(first):>8.1f} us a question{times['plain'] / seconds:>8.1f} x")


def questions(count: int, draw: random.Random) -> tuple[list[VQARecord], dict[int | str, str]]:
    """Questions with ten answers each, and an answer to each: few texts are common and most are rare, as people's."""
    texts = [" ".join(draw.choices(WORDS, k=draw.choice((1, 1, 2, 3)))) + f" {n}" * (n > 50) for n in range(100_000)]
    records, predictions = [], {}
    for number in range(count):
        few = [texts[min(int(draw.paretovariate(0.6)) - 1, len(texts) - 1)] for _ in range(draw.choice((1, 1, 2, 4)))]
        answers = tuple(draw.choices(few, k=10))
        types = ("what colour", "other") if number % 2 else ("is it", "yes/no")
        records.append(VQARecord(Path("x.jpg"), number, "what?", number, answers, types))
        predictions[number] = draw.choice(few)
    return records, predictions  # type: ignore[return-value]


def plainly(prediction: str, answers: tuple[str, ...]) -> float:
    """Step by step as the official script, for each question anew."""
    prediction, *given = (strip_answer(text) for text in (prediction, *answers))
    if len(set(given)) > 1:
        prediction, *given = (normalise_answer(text) for text in (prediction, *given))
    shares = []
    for left_out in range(len(given)):
        others = [answer for number, answer in enumerate(given) if number != left_out]
        shares.append(min(1, sum(answer == prediction for answer in others) / 3))
    return sum(shares) / len(shares)


if __name__ == "__main__":
    main()
