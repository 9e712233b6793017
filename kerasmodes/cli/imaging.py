"""`kerasmodes data prepare` and `kerasmodes generate`: images in, images out."""

import pathlib

import keras

from kerasmodes import data, models
from kerasmodes.cli.flags import console, pick

ZOOM = 4


def prepare(parser):
    """Make a data set of local files ready for `tfds.load` and `km.data.images`."""
    parser.add_argument("name", choices=["fashion_mnist"], help="Name of the data set.")
    of_prepare = parser.add_function_arguments(data.prepare)

    def run(flags):
        console.print(f"Prepared: {data.prepare(**pick(flags, of_prepare))}")

    return run


def generate(parser):
    """Draw new images with the model of a run, one row a scale, into the run's folder."""
    parser.add_argument("run", type=str, help="Folder of a run of `kerasmodes train msggan`.")
    of_generate = parser.add_method_arguments(models.MSGGAN, "generate")

    def run(flags):
        path = pathlib.Path(flags.run) / "model.keras"
        if not path.is_file():
            raise ValueError(f"`run` must hold a model.keras. Received: run={flags.run!r}")
        gan = keras.models.load_model(path)
        if not isinstance(gan, models.MSGGAN):
            raise ValueError(
                f"`run` must hold an MSGGAN. Received: run={flags.run!r} with {type(gan).__name__}"
            )
        picture = path.with_name("generated.png")
        scales = gan.generate(**pick(flags, of_generate))
        data.save_image(data.image_grid(scales, flags.num_images, zoom=ZOOM), picture)
        console.print(f"Written: {picture}")

    return run
