"""A run's folder with every file that a report shows, written by hand: numbers that are known."""

import json

import numpy as np

import kerasmodes as km

HISTORY = """epoch,d_loss,g_loss,val_frechet,val_precision
0,1.5,0.75,300.0,0.1
1,1.25,0.875,30.0,0.5
2,nan,1.0,3.0,0.25
"""
RECORD = {
    "status": "interrupted",
    "message": "",
    "planned_epochs": 4,
    "started": "2026-01-02T03:04:05+00:00",
    "updated": "2026-01-02T03:05:05+00:00",
    "model_class": "MSGGAN",
    "parameters": 1234567,
    "mode": "graph",
    "strategy": "single",
    "replicas": 1,
    "devices": ["CPU:0"],
    "versions": {"python": "3.11.0", "keras": "3.15.1"},
    "epochs": [
        {"epoch": 0, "seconds": 9.0, "steps": 2, "microseconds_per_step": 4e6},
        {"epoch": 1, "seconds": 3.0, "steps": 2, "microseconds_per_step": 1500.0},
        {"epoch": 2, "seconds": 5.0, "steps": 2, "microseconds_per_step": 2500.0},
    ],
}
EVALUATION = {
    "data": "fashion_mnist",
    "split": "test",
    "num_images": 1000,
    "num_real": 10000,
    "num_equal": 1000,
    "results": {"frechet": 3.25, "precision": 0.5, "swd_7": 1.5},
    "baselines": {"frechet": 1.0, "precision": 0.75, "swd_7": 0.5},
    "class_shares": {"generated": {"bag": 0.75, "shoe": 0.25}, "real": {"bag": 0.5, "shoe": 0.5}},
}
CONFIG = {"model": "msggan", "data": "fashion_mnist", "epochs": 4, "num_classes": 2, "seed": 7}


def write_run(run):
    """Writes the folder of a run of a GAN that was interrupted after 3 of 4 epochs."""
    (run / "samples").mkdir(parents=True)
    (run / "history.csv").write_text(HISTORY)
    (run / "run.json").write_text(json.dumps(RECORD))
    (run / "evaluation.json").write_text(json.dumps(EVALUATION))
    for name in ("samples/epoch_001", "samples/epoch_002", "samples/epoch_1000", "classes"):
        km.data.save_image(np.zeros((4, 8), "uint8"), run / f"{name}.png")
    km.data.save_gif([np.zeros((4, 6), "uint8")], run / "interpolation.gif")
    (run / "model.keras").write_bytes(b"a model")
    return run
