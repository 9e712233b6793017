"""Does the sum regressor reach the tutorial's quality, in graph and in fused mode alike?

Command: .venv/bin/python scripts/study_sum_quality.py
Cost: 5 to 10 minutes on 2 cores, nearly all of it graph mode.
Expected: validation losses (median of nine seeds) of at most 0.0481, 0.0103 and 0.0070 after
epochs 1, 2 and 3 of batch size 1, the tutorial's own figures. One run's last weights are noisy:
with a constant learning rate and batch size 1 a seed's loss after epoch 2 lies anywhere between
0.004 and 0.021, so that three seeds do not always decide it.
"""

import statistics

import keras
import rich.console
import rich.table

import kerasmodes as km

TUTORIAL = (0.0481, 0.0103, 0.0070)
SEEDS = range(9)


def validation_losses(mode, seed):
    keras.utils.set_random_seed(seed)
    x, y = km.data.sums(num_samples=10_000, num_features=20, seed=seed)
    model = km.SumRegressor()
    model.compile(optimizer="adam", mode=mode)
    history = model.fit(
        x,
        y,
        batch_size=1,
        epochs=len(TUTORIAL),
        validation_data=km.data.sums(100, 20, seed=seed + 1_000),
        verbose=2,
    )
    return history.history["val_loss"]


def main():
    table = rich.table.Table(title="Validation loss, median of nine seeds")
    for heading in ("mode", "epoch 1", "epoch 2", "epoch 3"):
        table.add_column(heading, justify="right")
    table.add_row("tutorial", *(f"{loss:.4f}" for loss in TUTORIAL))
    for mode in ("graph", "fused"):
        runs = [validation_losses(mode, seed) for seed in SEEDS]
        medians = [statistics.median(epoch) for epoch in zip(*runs, strict=True)]
        table.add_row(mode, *(f"{loss:.4f}" for loss in medians))
    rich.console.Console().print(table)


if __name__ == "__main__":
    main()
