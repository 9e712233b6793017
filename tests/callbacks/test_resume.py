"""Tests of `Resume`: a fit that was stopped ends as one that never was."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerasmodes as km


class StopsOnce(keras.callbacks.Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.at = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == self.at and batch >= 1:
            raise KeyboardInterrupt


def make_noisy_regressor():
    """Starts as a program does: the same seed, the same model."""
    keras.utils.set_random_seed(5)
    model = km.SumRegressor(units=(4,))
    model.build((None, 3))
    model.compile("adam", mode="graph")
    return model


def make_examples():
    return km.data.sums(num_samples=24, num_features=3, seed=1)


def make_shuffled_data():
    return tf.data.Dataset.from_tensor_slices(make_examples()).shuffle(24, seed=2).batch(4)


FIT_ARGUMENTS = {
    "arrays": lambda: dict(zip("xy", make_examples(), strict=True)) | {"batch_size": 4},
    "shuffled data set": lambda: {"x": make_shuffled_data(), "shuffle": False},
    "steps of an endless one": lambda: {
        "x": make_shuffled_data().repeat(),
        "shuffle": False,
        "steps_per_epoch": 4,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIT_ARGUMENTS)
def test_a_resumed_fit_has_the_numbers_of_one_that_was_never_stopped(tmp_path, name):
    model = make_noisy_regressor()
    expected = model.fit(**FIT_ARGUMENTS[name](), epochs=4, verbose=0).history["loss"]
    with pytest.raises(KeyboardInterrupt):
        make_noisy_regressor().fit(
            **FIT_ARGUMENTS[name](),
            epochs=4,
            verbose=0,
            callbacks=[km.callbacks.Resume(tmp_path), StopsOnce(epoch=2)],
        )
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0002.weights.h5"]
    again, resume = make_noisy_regressor(), km.callbacks.Resume(tmp_path)
    arguments = {**FIT_ARGUMENTS[name](), "epochs": 4, "verbose": 0, "callbacks": [resume]}
    history = again.fit(**arguments)
    assert history.epoch == [2, 3]
    assert history.history["loss"] == expected[2:]
    for weight, other in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, other)
    assert again.fit(**arguments).epoch == []  # It is done.
    assert again.fit(**(arguments | {"callbacks": None})).epoch == [0, 1, 2, 3]


def test_epochs_beyond_9999_are_read_in_their_order(tmp_path):
    model = make_noisy_regressor()
    model.optimizer.build(model.trainable_variables)
    for epoch in (9_999, 10_000):
        model.save_weights(tmp_path / f"epoch_{epoch:04d}.weights.h5")
    fit = {**FIT_ARGUMENTS["arrays"](), "verbose": 0, "callbacks": [km.callbacks.Resume(tmp_path)]}
    assert make_noisy_regressor().fit(**fit, epochs=10_001).epoch == [10_000]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "settings"),
    [
        (km.presets.Tutorial(3, 3, 0.3), {}),
        (km.presets.Default(8, 8), {"augmentation": "adaptive"}),
        (km.presets.Paper(4, 4), {"dtype": "mixed_float16"}),
    ],
    ids=["tutorial", "default", "paper"],
)
def test_a_gan_resumes_with_both_optimizers_and_its_noise(tmp_path, preset, settings):
    images = np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 1)).astype("float32")

    def make_gan():
        keras.utils.set_random_seed(5)
        gan = km.MSGGAN((8, 8, 1), 2, 4, preset=preset, seed=1, **settings)
        gan.compile(mode="eager")
        return gan

    gan = make_gan()
    expected = gan.fit(images, batch_size=4, epochs=3, verbose=0).history["g_loss"]
    callbacks = [km.callbacks.Resume(tmp_path), StopsOnce(epoch=1)]
    with pytest.raises(KeyboardInterrupt):
        make_gan().fit(images, batch_size=4, epochs=3, verbose=0, callbacks=callbacks)
    history = make_gan().fit(images, batch_size=4, epochs=3, verbose=0, callbacks=callbacks[:1])
    assert history.history["g_loss"] == expected[1:]


def test_a_model_that_is_not_built_cannot_resume(tmp_path):
    model = make_noisy_regressor()
    model.fit(**FIT_ARGUMENTS["arrays"](), verbose=0, callbacks=[km.callbacks.Resume(tmp_path)])
    unbuilt = km.SumRegressor(units=(4,))
    unbuilt.compile("adam")
    with pytest.raises(ValueError, match="must be built before a fit can be resumed"):
        unbuilt.fit(**FIT_ARGUMENTS["arrays"](), callbacks=[km.callbacks.Resume(tmp_path)])


@pytest.mark.parametrize("directory", ["", None, 3])
def test_resuming_needs_the_name_of_a_folder(directory):
    with pytest.raises(ValueError, match="`directory` must name a folder. Received: directory="):
        km.callbacks.Resume(directory)


def test_resuming_in_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="`directory` must be a folder. Received: the file"):
        km.callbacks.Resume(tmp_path / "file")


@pytest.mark.filterwarnings("ignore:No checkpoint of epoch 2:UserWarning")
def test_a_checkpoint_of_finite_weights_is_not_replaced_by_one_of_nan(tmp_path):
    class Break(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.layers[0].kernel.assign(np.full((3, 4), np.nan))

    callbacks = [Break(), km.callbacks.Resume(tmp_path)]
    model = make_noisy_regressor()
    model.fit(**FIT_ARGUMENTS["arrays"](), epochs=2, verbose=0, callbacks=callbacks)
    assert [path.name for path in tmp_path.iterdir()] == ["epoch_0001.weights.h5"]


def test_a_folder_that_cannot_be_made_is_noticed_before_the_first_epoch(tmp_path):
    (tmp_path / "file").touch()
    resume = km.callbacks.Resume(tmp_path / "file" / "folder")
    seen = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: pytest.fail("began"))
    with pytest.raises(ValueError, match="`directory` must be a folder to write to. Received:"):
        make_noisy_regressor().fit(**FIT_ARGUMENTS["arrays"](), verbose=0, callbacks=[resume, seen])
