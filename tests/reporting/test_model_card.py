"""Tests of the model card: its header is valid, its numbers are those of the files."""

import ast
import dataclasses
import re

import pytest
import yaml

from kerasmodes.reporting import model_card, write_model_card

EVIL = "a | <script>alert(1)</script> ``` \n---\nlicense: stolen"


def read_header(text):
    _, header, body = text.split("---\n", 2)
    return yaml.safe_load(header), body


def test_the_header_has_the_metrics_of_the_evaluation(run):
    header, _ = read_header(model_card.make_model_card(run))
    assert header["library_name"] == "keras"
    assert "license" not in header
    (index,) = header["model-index"]
    (result,) = index["results"]
    assert index["name"] == "my run"
    assert result["dataset"]["name"] == "fashion_mnist, test"
    values = {one["type"]: one["value"] for one in result["metrics"]}
    assert values == run.evaluation["results"]


@pytest.mark.parametrize("num_classes", [None, 10])
def test_the_task_is_that_of_models_with_classes_or_without(run, num_classes):
    run = dataclasses.replace(run, config={**run.config, "num_classes": num_classes})
    header, _ = read_header(model_card.make_model_card(run))
    kind = "class-conditional" if num_classes else "unconditional"
    task = header["model-index"][0]["results"][0]["task"]
    assert task["type"] == f"{kind}-image-generation"
    # The Hub has no task of models with classes.
    assert header.get("pipeline_tag") == (None if num_classes else task["type"])
    assert (task["type"] in header["tags"]) == bool(num_classes)


def test_without_an_evaluation_the_last_epoch_counts_and_nan_is_no_result(run):
    run = dataclasses.replace(run, evaluation={})
    header, body = read_header(model_card.make_model_card(run))
    metrics = header["model-index"][0]["results"][0]["metrics"]
    assert {one["type"]: one["value"] for one in metrics} == {
        "val_frechet": 3.0,
        "val_precision": 0.25,
    }
    assert "| `d_loss` | nan |" in body
    assert "Its images were not evaluated" in body


def test_a_run_without_numbers_invents_none(run):
    bare = dataclasses.replace(
        run, history=dataclasses.replace(run.history, rows=[]), evaluation={}, record={}
    )
    header, body = read_header(model_card.make_model_card(bare))
    assert "model-index" not in header
    assert "None: no epoch has ended." in body
    assert "µs" not in body


def test_it_says_what_the_run_was_and_how_it_ended(run):
    _, body = read_header(model_card.make_model_card(run))
    assert "| epochs | 3 of 4 |" in body
    assert "| seed | `7` |" in body
    assert "How training ended: interrupted." in body
    assert "A step took 2,000 µs, an epoch 4 s (medians)." in body


@pytest.mark.parametrize("model", ["msggan", "sum", "another", None])
def test_the_examples_are_python(run, model):
    run = dataclasses.replace(run, config={"model": model, "num_features": 20})
    blocks = re.findall(r"```python\n(.*?)```", model_card.make_model_card(run), re.DOTALL)
    assert len(blocks) == 3
    for block in blocks:
        ast.parse(block)


def test_a_file_that_keras_loads_alone_is_not_said_to_need_kerasmodes(run):
    body = model_card.make_model_card(dataclasses.replace(run, is_plain=True, config={}))
    assert 'keras.models.load_model("model.keras")' in body
    assert "import kerasmodes" not in body and "without kerasmodes" not in body


def test_the_example_of_a_gan_has_labels_if_it_has_classes(run):
    assert "plain.predict([latents, labels])" in model_card.make_model_card(run)
    alone = dataclasses.replace(run, config={**run.config, "num_classes": None})
    assert "plain.predict(latents)" in model_card.make_model_card(alone)


def test_without_a_model_it_does_not_say_how_to_load_it(run):
    body = model_card.make_model_card(dataclasses.replace(run, has_model=False))
    assert "holds no `model.keras`" in body and "```" not in body


def test_text_of_files_cannot_leave_its_place(run):
    names = ("data", "split", "seed", "preset", "loss", "batch_size")
    evil = dataclasses.replace(
        run,
        name=EVIL,
        config={"model": "msggan", **dict.fromkeys(names, EVIL)},
        record={**dict.fromkeys(run.record, EVIL), "epochs": []},
        evaluation={**run.evaluation, "data": EVIL, "results": {EVIL: 1.0}},
    )
    text = model_card.make_model_card(evil)
    header, _ = read_header(text.replace("\n  ---\n", "\n"))
    assert "license" not in header
    body = text[text.index(model_card.MARK) + len(model_card.MARK) :]
    assert "<script>" not in re.sub(r"`[^`\n]*`", "", body)
    assert "\n---\n" not in body


def test_a_card_that_was_changed_by_hand_stays(run, folder):
    path = folder / "README.md"
    assert write_model_card(run, path)
    assert write_model_card(run, path)  # Its own, again.
    path.write_text(path.read_text().replace(model_card.MARK, "") + "Mine.")
    assert not write_model_card(run, path)
    assert path.read_text().endswith("Mine.")
