"""README and the guides: Python blocks run, links lead somewhere, numbers are those of the JSON.

Each block runs in a folder of its own. A comment on a page marks what takes long: it is a sweep.
"""

import contextlib
import functools
import io
import json
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "scripts/guides").glob("*.md"))]
WRITTEN_BY_COMMAND = "api.md"
BLOCK = re.compile(r"^(<!-- sweep -->\n)?```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
PAGE_LINES = 200


def find_blocks():
    """Returns every block of the pages as `(name, text, is_sweep)`."""
    blocks = []
    for page in PAGES:
        if page.name == WRITTEN_BY_COMMAND:
            continue
        found = BLOCK.findall(page.read_text("utf-8"))
        blocks += [
            (f"{page.stem}-{index}", text, bool(mark)) for index, (mark, text) in enumerate(found)
        ]
    return blocks


BLOCKS = find_blocks()
OWN_IMAGES = "your images"  # By default, this block runs in eager mode, below.
PARAMETERS = [
    pytest.param(
        name, text, id=name, marks=pytest.mark.sweep if is_sweep or OWN_IMAGES in text else []
    )
    for name, text, is_sweep in BLOCKS
]


def run(name, text):
    """Returns the names that a block leaves behind."""
    program = {"__name__": "readme"}
    exec(compile(text, name, "exec"), program)
    return program


@pytest.fixture(scope="module")
def run_once(tmp_path_factory):
    """A function that runs a block, once: its names, what it prints, the folder of its files."""

    @functools.cache
    def run_once(text):
        folder = tmp_path_factory.mktemp("block")
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
            program = run("block", text)
        return program, printed.getvalue(), folder

    return run_once


def find_block(words):
    (text,) = [text for _, text, _ in BLOCKS if words in text]
    return text


def test_there_are_blocks_on_every_page_but_that_of_the_command():
    pages = {page.stem for page in PAGES if page.name != WRITTEN_BY_COMMAND}
    assert {name.rpartition("-")[0] for name, _, _ in BLOCKS} == pages - {"command"}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "text"), PARAMETERS)
def test_block_runs_and_prints_what_it_says(name, text, run_once):
    _, printed, _ = run_once(text)
    shown = [line.removeprefix("# ").split() for line in text.splitlines() if line[:3] == "# >"]
    printed = [["", *line.split()] for line in printed.splitlines()]
    for words, expected in zip(printed, shown, strict=False):
        assert words[1] == expected[1]
        # Another processor rounds in another way; batches of one example magnify that.
        numbers, expected = (list(map(float, one[2:])) for one in (words, expected))
        assert numbers == pytest.approx(expected, rel=0.2)
    assert len(printed) >= len(shown)


@pytest.mark.slow
def test_the_first_block_runs_on_few_examples(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run("first", find_block("10_000").replace("10_000", "100"))
    graph, fused = (line.split() for line in capsys.readouterr().out.splitlines())
    assert [graph[0], fused[0]] == ["graph", "fused"]
    assert list(map(float, graph[1:])) == pytest.approx(list(map(float, fused[1:])), rel=1e-3)


@pytest.mark.slow
def test_the_gan_of_ones_own_images_draws_and_generates(run_once):
    text = find_block(OWN_IMAGES).replace('mode="graph"', 'mode="eager"')  # Tracing takes longer.
    program, _, folder = run_once(text)
    assert [program[name].shape for name in ("small", "large")] == [(8, 8, 8, 1), (8, 16, 16, 1)]
    assert program["gan"].mode == "eager"
    assert {path.name for path in (folder / "samples").iterdir()} >= {"epoch_001.png"}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fused", pytest.param("graph", marks=pytest.mark.sweep)])
def test_the_regressor_takes_targets_of_one_dimension(mode, run_once):
    program, _, _ = run_once(find_block('model.save("regressor.keras")\nprint'))
    model, x, y = program["model"], program["x"], program["y"]
    expected = model.evaluate(x, y, verbose=0)
    model.compile("adam", mode=mode)
    assert model.evaluate(x, y[:, 0], verbose=0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        "Accelerator(",
        *(
            pytest.param(w, marks=pytest.mark.sweep)
            for w in ("fast_dev_run", "a breakpoint() here")
        ),
    ],
)
def test_the_steps_of_the_guides_compute_and_learn_in_float16(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program = run("classes", find_block(words).partition("\nx, y = ")[0])
    km, keras = program["km"], program["keras"]
    keras.utils.set_random_seed(0)
    model = program["Regressor"](dtype="mixed_float16")
    model.compile(keras.optimizers.SGD(1e-2), mode="graph")
    losses = model.fit(*km.data.sums(320, seed=0), epochs=4, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2
    if hasattr(model, "net"):
        assert [layer.compute_dtype for layer in model.net.layers] == ["float16", "float32"]


def test_the_users_gan_is_loaded_with_both_optimizers(run_once):
    program, _, folder = run_once(find_block("class PointGAN"))
    loaded = program["keras"].models.load_model(folder / "gan.keras")
    steps = [int(one.iterations) for one in (loaded.d_optimizer, loaded.g_optimizer)]
    assert (loaded.mode, steps) == ("fused", [40, 40])


def test_no_block_imports_a_private_name():
    for name, text, _ in BLOCKS:
        assert not re.search(r"keras\.src|from kerasmodes|import kerasmodes\.", text), name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page):
    text = page.read_text("utf-8")
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
    for target, anchor in LINK.findall(text):
        if target.startswith(("http:", "https:")):
            continue
        assert not target or (page.parent / target).exists(), target
        assert target or anchor in anchors, anchor


def test_readme_takes_ten_minutes():
    assert len(README.read_text("utf-8").splitlines()) <= PAGE_LINES


@pytest.fixture
def update_readme(monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(ROOT / "scripts/results"))
    import update_readme

    return update_readme


def test_pages_and_picture_are_what_the_command_writes(update_readme):
    results = update_readme.read_results()
    for page in update_readme.PAGES:
        text = page.read_text("utf-8")
        assert update_readme.fill_marks(text, results) == text, page.name
    picture = json.loads(update_readme.read_description(update_readme.PICTURE))
    assert picture == update_readme.modes_in_microseconds(results)


def test_every_table_of_the_command_is_on_a_page(update_readme):
    text = "".join(page.read_text("utf-8") for page in update_readme.PAGES)
    assert set(re.findall(r"<!-- numbers: (\S+) -->", text)) == set(update_readme.BLOCKS)


def test_another_number_in_the_json_is_another_number_on_the_page(update_readme):
    results = update_readme.read_results()
    (row,) = [r for r in results["engine"]["arrays"]["rows"] if r["name"] == "kerasmodes fused"]
    page = "<!-- numbers: speed -->\n<!-- end of numbers -->"
    before = update_readme.fill_marks(page, results)
    row["median"] = 2.5
    after = update_readme.fill_marks(page, results)
    assert "| 2.50 |" in after
    assert "| 2.50 |" not in before


def test_a_mark_without_a_table_is_refused(update_readme):
    page = "<!-- numbers: nothing -->\n<!-- end of numbers -->"
    with pytest.raises(ValueError, match="A mark must be one of .* Received: 'nothing'"):
        update_readme.fill_marks(page, update_readme.read_results())


def test_the_picture_holds_its_numbers(update_readme, tmp_path):
    results = update_readme.read_results()
    path = tmp_path / "modes.png"
    assert update_readme.read_description(path) is None
    update_readme.draw_modes(results, path)
    assert update_readme.read_description(path) == update_readme.describe_modes(results)
