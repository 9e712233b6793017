"""Tests of `--config` and `--print-config`: what a file says, and how it is refused."""

import pytest

from kerasmodes import cli
from kerasmodes.cli import config_files, kinds, run_folders

SUM = ["train", "sum", "--num-samples=32", "--batch-size=8", "--mode=eager"]


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def print_config(words, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main([*words, "--print-config"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "command",
    ["train sum", "train msggan", "tune sum", "tune msggan", "compare sum", "compare msggan"],
)
def test_a_printed_config_is_read_again(command, own_folder, capsys):
    printed = print_config([*command.split(), "--seed=7"], capsys)
    (own_folder / "run.yaml").write_text(printed)
    assert print_config([*command.split(), "--config", "run.yaml"], capsys) == printed


@pytest.mark.parametrize("command", ["evaluate a", "generate a", "data prepare fashion_mnist"])
def test_commands_with_a_position_have_a_config_too(command, own_folder, capsys):
    (own_folder / "run.yaml").write_text("data_dir: here\n")
    printed = print_config([*command.split(), "--config=run.yaml"], capsys)
    assert kinds.load_yaml(printed)["data_dir"] == "here"


def test_flags_beside_a_file_win_wherever_they_stand(own_folder, capsys):
    (own_folder / "run.yaml").write_text("epochs: 5\nunits: 4,5\nmax-trials: 2\n")
    words = ["tune", "sum", "--epochs=7", "--config", "run.yaml", "--max_trials=9"]
    found = kinds.load_yaml(print_config(words, capsys))
    assert (found["epochs"], found["units"], found["max_trials"]) == (7, [4, 5], 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epoch: 3", "run.yaml: 'epoch' is no flag of `kerasmodes train sum`. Did you mean 'epoch"),
        ("zzz: 3", "run.yaml: 'zzz' is no flag of `kerasmodes train sum` (see"),
        ("config: other.yaml", "run.yaml: 'config' is no flag of `kerasmodes train sum` (see"),
        ("epochs: three", "run.yaml: \"epochs\": must be INT. Received: 'three'"),
        ("epochs: [", "run.yaml: while parsing a flow node"),
        ("- 3", "run.yaml: it holds a list"),
        ("", "--config run.yaml: it is empty"),
        ("batch-size: 2\nbatch_size: 3", "run.yaml: 'batch_size' is there twice"),
        ("model: msggan\nimage_shape: 3", "run.yaml: it is of a run of `train msggan`, not of"),
        ("epochs: !!python/object/apply:os.getcwd []", "run.yaml: could not determine a construct"),
        (None, "run.yaml: No such file or directory"),
    ],
)
def test_a_file_that_is_wrong_is_one_line(content, message, own_folder, capsys):
    if content is not None:
        (own_folder / "run.yaml").write_text(content)
    assert cli.main([*SUM, "--config=run.yaml"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not (own_folder / "runs").exists()


def test_config_comes_first():
    words = ["--a", "--config", "x", "b", "--config=y", "--config"]
    assert config_files.put_config_first(words) == [
        *("--config", "x", "--config=y", "--config"),
        *("--a", "b"),
    ]


def read_losses(run):
    return (run / "history.csv").read_text()


@pytest.mark.slow
def test_the_config_of_a_run_without_a_seed_repeats_it(own_folder, capsys):
    flags = ["--optimizer=sgd", "--learning-rate=0.01", "--units=4", "--run=first"]
    assert cli.main([*SUM, *flags]) == 0
    config = run_folders.read_config("first")
    assert (config["model"], config["units"], config["learning_rate"]) == ("sum", [4], 0.01)
    assert config["seed"] >= 0
    assert "run" not in config
    assert cli.main(["train", "sum", "--config=first/config.yaml"]) == 0
    assert read_losses(own_folder / "runs/sum-001") == read_losses(own_folder / "first")
    assert run_folders.read_config("runs/sum-001") == config
    assert cli.main(["train", "sum", "--config=first/config.yaml", "--run=other", "--seed=1"]) == 0
    assert read_losses(own_folder / "other") != read_losses(own_folder / "first")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run: /elsewhere", "'run' leads out of the present folder. To have it so, add --run=/els"),
        ("run: a/../../b", "'run' leads out of the present folder"),
        ("data_dir: /data", "'data_dir' leads out of the present folder"),
        ("run: link/b", "'run' leads out of the present folder"),
        ("optimizer: a.B", "'optimizer' names what is to be imported. To have it so, add --optimi"),
        ("mlflow: /elsewhere", "'mlflow' leads out of the present folder"),
        ("mlflow: sqlite:////elsewhere/a.db", "'mlflow' names a store elsewhere"),
        (
            "mlflow: http://127.0.0.1:1",
            "'mlflow' names a store elsewhere. To have it so, add --",
        ),
        ("wandb: online", "'wandb' sends to a server. To have it so, add --wandb=online"),
    ],
)
def test_a_file_says_neither_what_is_imported_nor_where_else_to_write(
    content, message, own_folder, capsys
):
    (own_folder / "link").symlink_to(own_folder.parent)
    (own_folder / "run.yaml").write_text(content)
    command = ["evaluate", "a"] if "data" in content else SUM
    assert cli.main([*command, "--config", "run.yaml"]) == 2
    assert f"run.yaml: {message}" in capsys.readouterr().err


def test_what_a_file_may_not_say_a_flag_may():
    words = ["--optimizer=a.B", "--run", "/elsewhere"]
    config_files.check_trusted(words)
    with pytest.raises(OSError, match="run.yaml"):
        config_files.check_trusted([*words, "--config=run.yaml"])


@pytest.mark.parametrize(
    "content",
    [
        "run: a/b\noptimizer: adam",
        "data-dir: here",
        "seed: 3",
        "mlflow: true\nwandb: offline",
        "mlflow: runs/mlflow",
        "mlflow: null\nwandb: null",
    ],
)
def test_what_a_file_may_say(content, own_folder):
    (own_folder / "run.yaml").write_text(content)
    config_files.check_trusted(["--config", "run.yaml"])


def test_a_flag_beside_a_file_is_trusted(own_folder):
    (own_folder / "run.yaml").write_text("run: /elsewhere\noptimizer: a.B\n")
    config_files.check_trusted(["--config=run.yaml", "--optimizer=a.B", "--run", "/elsewhere"])


def test_a_key_that_is_there_twice_is_refused(own_folder, capsys):
    (own_folder / "run.yaml").write_text("epochs: 1\nepochs: 2\n")
    assert cli.main([*SUM, "--config", "run.yaml"]) == 2
    assert "run.yaml: 'epochs' is there twice" in capsys.readouterr().err
