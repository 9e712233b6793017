"""Tests of the report of `study_gan.py`: it names a missed bar and a collapse."""

import numpy as np
from gans import gan_report
from PIL import Image


def run(recipe, seed, *distances):
    points = [{"images": 10 * place, "frechet": one} for place, one in enumerate(distances)]
    return {"recipe": recipe, "seed": seed, "batch_size": 16, "curve": points}


def draw_grid(path, spreads):
    """Draws one row a scale: grey tiles that differ by the spread and share one pattern."""
    generator = np.random.default_rng(0)
    rows = []
    for spread in spreads:
        greys = 127.5 + 127.5 * spread * np.resize([-0.5, 0.5], gan_report.GRID)
        pattern = generator.uniform(-60, 60, (gan_report.TILE, gan_report.TILE))
        rows.append(np.concatenate([pattern + grey for grey in greys], axis=1))
    Image.fromarray(np.concatenate(rows).clip(0, 255).round().astype("uint8")).save(path)


def find_text(folder, runs, spreads):
    for one in runs:
        if one["recipe"] == "default":
            draw_grid(folder / f"default-{one['seed']}.png", spreads)
    return "\n".join(gan_report.list_findings(runs, folder, real=np.array([0.5, 0.5])))


def test_bars_are_met_by_the_median_of_the_seeds(tmp_path):
    runs = [run("default", seed, 3.0, last) for seed, last in enumerate((0.9, 0.4, 0.5))]
    runs += [run("tutorial", 0, 20.0, 10.1), run("wgan_gp", 0, 9.0, 6.0)]
    text = find_text(tmp_path, runs, (0.9, 1.0))
    assert "the default's median of 3 seeds: 0.500" in text
    assert "default / MSGGAN, tutorial: 0.050 (bar 0.05: met)" in text
    assert "default / WGAN-GP: 0.083 (bar 0.08: MISSED)" in text
    assert "ROSE" not in text
    assert "COLLAPSED" not in text


def test_a_distance_that_rises_is_reported(tmp_path):
    runs = [run("default", 0, 3.0, 0.4, 0.5), run("default", 1, 3.0, 0.5)]
    text = find_text(tmp_path, runs, (0.9, 1.0))
    assert "seed 0: the Fréchet distance ROSE" in text
    assert "seed 1: the Fréchet distance falls to the end" in text


def test_one_scale_of_one_and_the_same_image_has_collapsed(tmp_path):
    text = find_text(tmp_path, [run("default", 0, 1.0)], (0.02, 1.0))
    assert "COLLAPSED" in text


def test_the_spread_is_that_from_sample_to_sample(tmp_path):
    draw_grid(tmp_path / "grid.png", (0.2, 0.8))
    found = gan_report.measure_spreads(tmp_path / "grid.png")
    np.testing.assert_allclose(found, np.array([0.1, 0.4]) * np.sqrt(16 / 15), rtol=0.05)
