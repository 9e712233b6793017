"""`kerasmodes data prepare` and `kerasmodes generate`: images in, images out.

This file decides which pictures a run gets; how they are drawn is in `data/image_grid.py`.
"""

import pathlib

import jsonargparse

import kerasmodes as km
from kerasmodes import arguments
from kerasmodes.cli import declared, kinds, run_folders, runs
from kerasmodes.cli.flags import (
    Command,
    add_arguments,
    add_flag,
    add_switch,
    console,
    pick,
)

GENERATED, CLASSES = "generated.png", "classes.png"
INTERPOLATION, NEIGHBOURS = "interpolation.gif", "neighbours.png"
PICTURES = (GENERATED, CLASSES, INTERPOLATION, NEIGHBOURS)
ZOOM = 4
GAP = 4  # pixels between images
STOPS, STEPS, FRAME_SECONDS = 5, 12, 0.1  # of the interpolation: 6 seconds
NUM_NEIGHBOURS = 7
NUM_COMPARED = 1_000  # images for the ratio of distances


def prepare(parser: jsonargparse.ArgumentParser) -> Command:
    """Prepare a data set from local files."""
    parser.add_argument("name", choices=["fashion_mnist"], help="Name of the data set.")
    folder_flags = add_arguments(parser, "folders", declared.km.data.prepare)

    def run(flags: jsonargparse.Namespace) -> None:
        console.print(f"Prepared: {km.data.prepare(**pick(flags, folder_flags))}")

    return run


def generate(parser: jsonargparse.ArgumentParser) -> Command:
    """Draw new images with a trained GAN, into its run's folder.

    A picture has a row for each scale.
    """
    runs.add_run_argument(parser)
    image_flags = add_arguments(parser, "images", declared.km.MSGGAN.generate, skip={"averaged"})
    words = "Whether the averaged weights make the images."
    add_flag(parser, "images", "averaged", kinds.BOOL, True, words)
    words = "Also write an animation along spherical paths between latents."
    add_switch(parser, "images", "interpolation", words)
    words = "Also write each image beside its nearest training images."
    add_switch(parser, "images", "neighbours", words)
    runs.add_images_arguments(parser)

    def run(flags: jsonargparse.Namespace) -> None:
        import numpy as np

        from kerasmodes.callbacks import pictures

        gan, folder = runs.load_gan(flags.run), pathlib.Path(flags.run)
        arguments.check_folder("run", folder)
        arguments.check_places("run", folder, PICTURES)
        if flags.neighbours:  # Before the first picture is written.
            real = [runs.load_images(flags, s, gan.image_shape) for s in ("train", "test")]
        if flags.seed is None:  # All pictures take the same seed.
            flags.seed = int(np.random.default_rng().integers(2**31))
        scales = gan.generate(**pick(flags, image_flags), averaged=flags.averaged)
        names, labels = _find_classes(gan, flags)
        _write(pictures.draw_grid(scales, ZOOM, names, labels), folder / GENERATED)
        if names:
            _write(_draw_classes(gan, flags, names), folder / CLASSES)
        if flags.interpolation:
            path = folder / INTERPOLATION
            km.data.save_gif(_draw_interpolation(gan, flags), path, FRAME_SECONDS)
            console.print(f"Written: {path}")
        if flags.neighbours:
            _write_neighbours(gan, scales[-1], *real, flags, folder / NEIGHBOURS)

    return run


def _write(picture, path):
    km.data.save_image(picture, path)
    console.print(f"Written: {path}")


def _find_classes(gan, flags):
    """Returns the names of a GAN's classes, and the label of each image; `None` without classes."""
    from kerasmodes.models.msg_gan import labels as image_labels

    if gan.num_classes is None:
        return None, None
    data = run_folders.read_config(flags.run).get("data")
    names = runs.list_class_names(data, gan.num_classes)
    return names, image_labels.expand_labels(flags.num_images, flags.labels, gan.num_classes)


def _draw_classes(gan, flags, names):
    """Returns a picture with a named row for each class, of the same latents in each row."""
    rows = [
        gan.generate(flags.num_images, flags.seed, label, flags.averaged)[-1]
        for label in range(gan.num_classes)
    ]
    picture = km.data.image_grid(rows, flags.num_images, zoom=ZOOM, gap=GAP)
    return km.data.label_rows(picture, names, gap=GAP)


def _draw_interpolation(gan, flags):
    """Returns the frames of the animation: in each, a row of images, each on its own path."""
    import numpy as np

    from kerasmodes.models.msg_gan import latents as latent_paths

    shape = (STOPS, flags.num_images, gan.latent_dim)
    stops = km.random.normal(shape, seed=km.random.SeedGenerator(flags.seed))
    _, labels = _find_classes(gan, flags)
    frames = []
    for latents in latent_paths.spherical_path(stops, STEPS):
        # One step of a path at a time, with the network that `generate` takes.
        largest = np.asarray(gan(latents, labels, averaged=flags.averaged)[-1], "float32")
        frames.append(km.data.image_grid(largest, flags.num_images, zoom=ZOOM, gap=GAP))
    return frames


def _write_neighbours(gan, samples, training, test, flags, path):
    import numpy as np

    from kerasmodes.metrics import image_evaluator, memorisation, nearest_neighbours

    network = image_evaluator.resolve_network(gan.image_shape)
    training_features = image_evaluator.extract_features(network, training)
    test_features = image_evaluator.extract_features(network, test[:NUM_COMPARED])
    more = gan.generate(NUM_COMPARED, seed=flags.seed, averaged=flags.averaged)[-1]
    ratio = memorisation.distance_ratio(
        image_evaluator.extract_features(network, np.clip(more, -1, 1)),
        training_features,
        test_features,
    )
    sample_features = image_evaluator.extract_features(network, np.clip(samples, -1, 1))
    indices, _ = nearest_neighbours.find_nearest(sample_features, training_features, NUM_NEIGHBOURS)
    rows = [
        np.concatenate([sample[np.newaxis], training[own]])
        for sample, own in zip(samples, indices, strict=True)
    ]
    picture = km.data.image_grid(rows, 1 + NUM_NEIGHBOURS, zoom=ZOOM, gap=GAP)
    width = ZOOM * gan.image_shape[1]
    _write(np.insert(picture, [width] * 2 * GAP, 255, axis=1), path)
    console.print(
        f"Each row: a generated image, then its {NUM_NEIGHBOURS} nearest training images. The "
        f"median distance to the nearest is {ratio:.2f} times that of {len(test_features):,} real "
        "test images (far below 1: copies)."
    )
