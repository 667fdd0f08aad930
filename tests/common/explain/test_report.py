"""The report holds all it shows, shows text as text, and lays maps where Python lays them."""

import base64
import io
import json
import math
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.attention.maps import AttentionMap, Boxes, Grid, Words
from common.data.records import Prediction
from common.errors import DataError
from common.explain.placement import place_map
from common.explain.report import LONGEST_SIDE, Example, Score, write_report

NASTY = "</script><script>alert(1)</script> <!-- & \u2028 \"quoted\" 'it' $5 {{data}} {{title}} café \ud83d"
GRID = Grid(4, 6, torch.tensor([0.0, -0.25, 1.0, 1.25]))
PICTURE = Image.new("RGB", (90, 60), (200, 40, 40))


def caption(text: str = "a red cube", layout: Grid | Boxes = GRID, regions: int = 24) -> Prediction:
    words = tuple(text.split())
    attention = AttentionMap(torch.rand(len(words), regions), ("word", "region"), layout, "soft", words)
    log_probs = (math.log(0.5),) * (len(words) + 1)
    return Prediction(text, -1.0, token_log_probs=log_probs, maps={"caption": attention})


def answer() -> Prediction:
    levels, words = ("word", "question"), ("what", "is", "red")
    maps = {
        "image": AttentionMap(torch.rand(2, 24), ("level", "region"), GRID, "parallel", levels),
        "question": AttentionMap(torch.rand(2, 3), ("level", "word"), Words(words), "parallel", levels),
    }
    return Prediction("cube", 0.7, (Prediction("sphere", 0.2), Prediction("cone", float("nan"))), maps=maps)


def page(path: Path, *examples: Example, scores: tuple[Score, ...] = (), title: str = "Report") -> str:
    write_report(path / "index.html", title, "What this is.", {"Results": scores}, {"Results": examples})
    return (path / "index.html").read_text(encoding="utf-8")


def data(text: str) -> dict[str, Any]:
    """What the page's script reads, found as a browser finds it: up to the first end tag."""
    (found,) = re.findall(r'<script id="data" type="application/json">(.*?)</script', text, re.DOTALL)
    return json.loads(found)


def example(text: str, index: int = 0) -> dict[str, Any]:
    return data(text)["sections"][0]["examples"][index]


def weights(packed: dict[str, Any]) -> np.ndarray:
    levels = np.frombuffer(base64.b64decode(packed["bytes"]), np.uint8).reshape(len(packed["greatest"]), -1)
    return levels / 255 * np.array(packed["greatest"])[:, None]


def test_sections_come_in_order_with_their_scores_and_examples(tmp_path: Path) -> None:
    scores = {"Captions": [Score("CIDEr-D", "1.2", "target 1.0")], "Answers": [Score("accuracy", "90 %")]}
    examples = {"Answers": [Example(PICTURE, answer(), "what is red")], "More": [Example(PICTURE, caption())]}
    write_report(tmp_path / "deep" / "index.html", "T", "I", scores, examples)
    sections = data((tmp_path / "deep" / "index.html").read_text())["sections"]
    assert [section["name"] for section in sections] == ["Captions", "Answers", "More"]
    assert sections[0]["scores"] == [{"name": "CIDEr-D", "value": "1.2", "note": "target 1.0"}]
    assert [len(section["examples"]) for section in sections] == [0, 1, 1]


def test_text_arrives_as_it_is_and_never_as_markup(tmp_path: Path) -> None:
    prediction = caption(NASTY)
    text = page(tmp_path, Example(PICTURE, prediction, references=(NASTY,)), title=NASTY.replace("\ud83d", ""))
    shown = example(text)
    assert shown["text"] == NASTY
    assert shown["references"] == [NASTY]
    assert shown["layers"]["labels"] == NASTY.split()
    assert text.count("<script") == text.count("</script>") == 2
    assert "alert(1)" not in re.sub(r'(<script id="data".*?</script>)|(<title>.*?</title>)', "", text, flags=re.DOTALL)
    assert "<title>&lt;/script&gt;" in text


def test_the_page_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    text = page(tmp_path, Example(PICTURE, caption()), Example(PICTURE, answer(), "what is red"))
    assert "default-src 'none'" in text
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<link|srcset|fetch\(|XMLHttpRequest", text)


def test_weights_survive_to_a_five_hundredth_of_the_greatest(tmp_path: Path) -> None:
    prediction = caption()
    layers = example(page(tmp_path, Example(PICTURE, prediction)))["layers"]
    expected = prediction.maps["caption"].weights.numpy()
    np.testing.assert_allclose(weights(layers["weights"]), expected, atol=expected.max() / 500)
    assert (layers["height"], layers["width"], layers["view"]) == (4, 6, [0.0, -0.25, 1.0, 1.25])


def test_answers_carry_their_levels_words_and_alternatives(tmp_path: Path) -> None:
    prediction = answer()
    shown = example(page(tmp_path, Example(PICTURE, prediction, "what is red", ("cube",), correct=True)))
    assert shown["answers"][:2] == [{"text": "cube", "share": 0.7}, {"text": "sphere", "share": 0.2}]
    assert shown["answers"][2]["share"] == 0  # not a number: no bar, and still JSON
    assert shown["words"]["words"] == ["what", "is", "red"]
    assert shown["layers"]["labels"] == shown["words"]["labels"] == ["word", "question"]
    expected = prediction.maps["question"].weights.numpy()
    np.testing.assert_allclose(weights(shown["words"]["weights"]), expected, atol=1 / 500)
    assert (shown["question"], shown["references"], shown["correct"]) == ("what is red", ["cube"], True)


def test_predictions_without_maps_and_maps_of_boxes_are_shown(tmp_path: Path) -> None:
    corners = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.25, 0.25, 1.0, 1.0]])
    bare = Prediction("cube", 0.5)
    examples = Example(PICTURE, caption(layout=Boxes(corners), regions=2)), Example(PICTURE, bare, "why")
    text = page(tmp_path, *examples, Example(PICTURE, caption("")))
    assert example(text)["layers"]["corners"] == corners.tolist()
    assert (example(text, 1)["layers"], example(text, 1)["words"]) == (None, None)
    assert example(text, 2)["layers"]["weights"] == {"bytes": "", "greatest": []}


@pytest.mark.parametrize(("size", "mode"), [((1600, 400), "RGB"), ((40, 60), "RGBA"), ((30, 30), "L")])
def test_pictures_are_embedded_in_a_limited_size_and_their_aspect(
    tmp_path: Path, size: tuple[int, int], mode: str
) -> None:
    shown = example(page(tmp_path, Example(Image.new(mode, size), caption())))
    picture = Image.open(io.BytesIO(base64.b64decode(shown["image"].split(",")[1])))
    assert max(picture.size) <= LONGEST_SIDE
    assert picture.width / picture.height == pytest.approx(size[0] / size[1], rel=0.02)
    assert (shown["width"], shown["height"]) == size


def test_flat_pictures_become_png_and_noisy_ones_jpeg(tmp_path: Path) -> None:
    noise = Image.effect_noise((300, 300), 80)
    text = page(tmp_path, Example(PICTURE, caption()), Example(noise, caption()))
    assert example(text, 0)["image"].startswith("data:image/png")
    assert example(text, 1)["image"].startswith("data:image/jpeg")


def test_a_page_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"cannot write .*index\.html"):
        write_report(tmp_path / "file" / "index.html", "T", "I", {}, {})


@pytest.mark.skipif(not shutil.which("node"), reason="the page's script is run with Node.js")
@pytest.mark.parametrize("layout", [GRID, Boxes(torch.tensor([[0.1, 0.2, 0.5, 0.7], [0.3, 0.3, 0.9, 1.0]]))])
def test_the_script_lays_maps_where_python_lays_them(tmp_path: Path, layout: Grid | Boxes) -> None:
    size = (31, 22)
    row = torch.rand(24 if isinstance(layout, Grid) else 2)
    text = page(tmp_path, Example(PICTURE, Prediction("cube", 0.0, maps={"caption": _single(row, layout)})))
    geometry = re.search(r"function unpack.*?(?=/\* ---- painting)", text, re.DOTALL)
    assert geometry
    layers = json.dumps(example(text)["layers"])
    place = "placeGrid(shares, layers" if isinstance(layout, Grid) else "placeBoxes(shares, layers.corners"
    unpacked = f"const layers = {layers}, [shares] = unpack(layers.weights, {len(row)});"
    script = f"{geometry[0]} {unpacked} console.log(JSON.stringify([...{place}, 31, 22)]))"
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    expected = place_map(row / row.max(), layout, size, smooth=True)
    np.testing.assert_allclose(np.reshape(json.loads(done.stdout), size[::-1]), expected, atol=0.005)


def _single(row: torch.Tensor, layout: Grid | Boxes) -> AttentionMap:
    return AttentionMap(row[None], ("word", "region"), layout, "soft", ("cube",))
