"""Writes a model card: a README.md in the format of Hugging Face, of what the files of a run say.

The format: https://huggingface.co/docs/hub/model-cards. Nothing in it is guessed.
"""

import math
import os
import pathlib
import re

import yaml

from kerasmodes import atomic_files
from kerasmodes.reporting import facts
from kerasmodes.reporting.charts import format_number
from kerasmodes.reporting.run import Run

MARK = "<!-- Written by kerasmodes report, again each time. To keep changes, remove this line. -->"
TASKS = {
    "msggan": ("unconditional-image-generation", "Unconditional image generation"),
    "sum": ("tabular-regression", "Tabular regression"),
}
BY_CLASS = ("class-conditional-image-generation", "Class-conditional image generation")
CALLS = {
    "msggan": "scales = model.generate(8, seed=0)  # a batch of images for each scale, in [-1, 1]",
    "sum": "model.predict(x)  # x: float32 [n, {num_features}] to sums [n, 1]",
}
PLAIN_CALLS = {
    "msggan": "scales = plain.predict(latents)  # float32 [n, {latent_dim}]",
    "msggan with classes": "scales = plain.predict([latents, labels])"
    "  # float32 [n, {latent_dim}], int32 [n]",
    "sum": "outputs = plain.predict(x)",
}

PLAIN_LOADING = """## Load it

```python
import keras

model = keras.models.load_model("model.keras")  # after the import of your own classes, if any
model.summary()
```
"""


def write_model_card(run: Run, path: str | os.PathLike) -> bool:
    """Writes the model card of a run, in an atomic write, unless one was changed by hand.

    Args:
        run: What the files of the run say.
        path: Path of the `README.md`.

    Returns:
        Whether it was written: a file without the mark of an earlier call stays as it is.
    """
    path = pathlib.Path(path)
    if path.exists() and MARK not in path.read_text("utf-8", errors="replace"):
        return False
    with atomic_files.atomic_write(path) as temporary:
        temporary.write_text(make_model_card(run), "utf-8")
    return True


def make_model_card(run: Run) -> str:
    """Returns the text of the model card."""
    header = yaml.safe_dump(make_header(run), sort_keys=False, allow_unicode=True)
    parts = [
        f"---\n{header}---\n\n{MARK}\n\n# {_escape(run.name)}\n",
        _describe_run(run),
        _describe_loading(run),
        _describe_numbers(run),
        _describe_limits(run),
        "## License\n\nNot stated. State it here and as `license:` in the header.\n",
    ]
    return "\n".join(part for part in parts if part)


def make_header(run: Run) -> dict:
    """Returns what stands above a model card for machines."""
    header = {"library_name": "keras", "tags": ["keras", "kerasmodes"]}
    task = TASKS.get(run.config.get("model"))
    if task is None:
        return header
    if run.config.get("num_classes"):  # The Hub has no task of this kind, only tags.
        task = BY_CLASS
        header["tags"].append(task[0])
    else:
        header["pipeline_tag"] = task[0]
    data, metrics = _list_metrics(run)
    if metrics and data:
        result = {
            "task": {"type": task[0], "name": task[1]},
            "dataset": {"name": data, "type": data},
            "metrics": [
                {"type": name, "name": words, "value": value} for name, words, value in metrics
            ],
        }
        header["model-index"] = [{"name": run.name, "results": [result]}]
    return header


def _list_metrics(run):
    """Returns the data set and its metrics: those of an evaluation, otherwise of the last epoch."""
    results = facts.list_results(run)
    if results:
        found = [(name, facts.describe_metric(name)[0], value) for name, value, _ in results]
        data = f"{run.evaluation.get('data')}, {run.evaluation.get('split')}"
    else:
        names = [name for name in run.history.names if name.startswith("val_")]
        found = [(n, _name_log(n), run.points(n)[-1][1]) for n in names if run.history.rows]
        data = str(run.config.get("data") or f"{run.config.get('model')}, validation")
    kept = [one for one in found if one[2] is not None and math.isfinite(one[2])]
    return data, kept


def _name_log(name):
    return f"{facts.describe_metric(name.removeprefix('val_'))[0]}, after the last epoch"


def _describe_run(run):
    status, _ = facts.describe_status(run)
    planned = run.record.get("planned_epochs") or run.config.get("epochs")
    of = f" of {_escape(planned)}" if planned else ""
    lines = [
        f"{_code(run.model_name)}, trained with "
        "[kerasmodes](https://github.com/kerasmodes/kerasmodes) on Keras and TensorFlow.\n",
        "| | |\n| --- | --- |",
        f"| epochs | {len(run.history.rows)}{of} |",
        f"| end of training | {_escape(status)} |",
    ]
    names = ("data", "split", "batch_size", "seed", "preset", "loss")
    chosen = [(n, run.config[n]) for n in names if run.config.get(n) is not None]
    own = [pair for pair in facts.describe_run(run) if pair[0] not in ("model", "system")]
    lines += [f"| {_escape(name)} | {_code(value)} |" for name, value in [*chosen, *own]]
    lines.append("\n`report.html` shows curves and all settings.\n" if run.config else "")
    return "\n".join(lines)


def _describe_loading(run):
    if not run.has_model:
        return "## Load it\n\nThe folder holds no `model.keras`: the run has saved none.\n"
    own = run.config.get("model")
    call = CALLS.get(own, "model.summary()").format_map(_Sizes(run.config))
    if run.is_plain:
        return PLAIN_LOADING
    kind = f"{own} with classes" if own == "msggan" and run.config.get("num_classes") else own
    plain_call = PLAIN_CALLS.get(kind, "plain.summary()").format_map(_Sizes(run.config))
    return f"""## Load it

With kerasmodes (`pip install git+https://github.com/kerasmodes/kerasmodes`):

```python
import kerasmodes as km  # registers the classes of the model
import keras

model = keras.models.load_model("model.keras")
{call}
```

`model.keras` does not load without kerasmodes. For programs with Keras alone, write a
plain model once:

```python
km.to_keras(model).save("plain.keras")
```

```python
import keras

plain = keras.models.load_model("plain.keras")
{plain_call}
```
"""


def _describe_numbers(run):
    results = facts.list_results(run)
    lines = ["## Numbers\n"]
    if results:
        words = facts.describe_evaluation(run)
        lines += [f"{_escape(words)}. " if words else ""]
        lines[-1] += "Baseline: one half of the real images against the other.\n"
        lines.append("| metric | generated | baseline |\n| --- | ---: | ---: |")
        for name, result, baseline in results:
            words, direction = facts.describe_metric(name)
            better = {"min": " (lower is better)", "max": " (higher is better)"}.get(direction, "")
            lines.append(
                f"| {_escape(words)}{better} | {format_number(result)} "
                f"| {format_number(baseline)} |"
            )
    elif run.history.rows:
        lines.append("After the last epoch, as in `history.csv`:\n")
        lines.append("| log | value |\n| --- | ---: |")
        for name, text in zip(run.history.names, run.history.rows[-1], strict=True):
            if name != "epoch":
                lines.append(f"| {_code(name)} | {_escape(text)} |")
    else:
        lines.append("None: no epoch has ended.")
    speed = facts.measure_speed(run)
    if speed and speed["microseconds_per_step"] is not None:
        step = format_number(speed["microseconds_per_step"])
        lines.append(f"\nA step took {step} µs, an epoch ")
        lines[-1] += f"{facts.format_seconds(speed['seconds_per_epoch'])} (medians)."
    return "\n".join([*lines, ""])


def _describe_limits(run):
    limits = ["These numbers are of one run, with one seed."]
    if not run.evaluation and run.is_gan:
        limits.append("Its images were not evaluated (`kerasmodes evaluate`).")
    if run.config.get("data") == "fashion_mnist_sample":
        limits.append("It has seen a sample of Fashion-MNIST, at most 1,024 training images.")
    if facts.list_results(run) and run.is_gan:
        limits.append(
            "Distances of features depend on the network that gives them and on the number of "
            "images: compare them only with numbers that have both in common."
        )
    status, kind = facts.describe_status(run)
    if kind != facts.GOOD:
        limits.append(f"How training ended: {_escape(status)}.")
    limits.append("Nothing is known of its behaviour on other data.")
    return "## Limits\n\n" + "\n".join(f"- {one}" for one in limits) + "\n"


class _Sizes(dict):
    """Settings for the examples; the name of one that is missing stands for its number."""

    def __getitem__(self, name):
        value = self.get(name)
        return value if isinstance(value, int) else name

    def __missing__(self, name):
        return name


def _escape(value):
    """Returns text of a file so that Markdown and HTML show it as it is, in one line."""
    text = " ".join(str(value).split())
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|#!~])", r"\\\1", text)


def _code(value):
    """Returns text of a file in the type of code; what would end it is left out."""
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "/")
    return f"`{text}`" if text else ""
