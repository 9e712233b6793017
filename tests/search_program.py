"""A search that tests run in several processes: `search_program.py FOLDER [worker|chief]`.

The second word says who is killed, once, in the first epoch that ends. Each process leaves a file
with its id, the chief another one with all scores.
"""

import json
import os
import pathlib
import signal
import sys

import keras
import tiny_searches

import kerasmodes as km

MAX_TRIALS = 4


class Kill(keras.callbacks.Callback):
    def __init__(self, folder, victim):
        super().__init__()
        self.folder = folder
        self.victim = victim

    def on_epoch_end(self, epoch, logs=None):
        try:
            open(self.folder / f"{self.victim} killed", "x").close()
        except FileExistsError:
            return
        if self.victim == "chief":
            (pid,) = (path.read_text() for path in self.folder.glob("chief-*.pid"))
            os.kill(int(pid), signal.SIGKILL)
            return
        oracle = json.loads((self.folder / "random" / "oracle.json").read_text())
        trial = oracle["ongoing_trials"][os.environ["KERASTUNER_TUNER_ID"]]
        checkpoint = self.folder / "random" / f"trial_{trial}" / "checkpoint.weights.h5"
        checkpoint.write_bytes(b"half of a check")
        os.kill(os.getpid(), signal.SIGKILL)


def search(folder, callbacks=(), **arguments):
    return tiny_searches.search_sums(
        folder, max_trials=MAX_TRIALS, callbacks=[*callbacks], **{"verbose": 1, **arguments}
    )


def list_scores(tuner):
    return {name: trial.score for name, trial in tuner.oracle.trials.items()}


def main(folder, victim=None):
    folder = pathlib.Path(folder)
    name = os.environ["KERASTUNER_TUNER_ID"]
    (folder / f"{name}-{os.getpid()}.pid").write_text(str(os.getpid()))
    tuner = search(folder, [Kill(folder, victim)] if victim else [])
    if km.tuning.find_role() == "chief":
        (folder / "scores.json").write_text(json.dumps(list_scores(tuner)))


if __name__ == "__main__":
    main(*sys.argv[1:])
