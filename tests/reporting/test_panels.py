"""Tests of which curves share a panel, and in which unit they are."""

import dataclasses

from kerasmodes.reporting import panels
from kerasmodes.reporting.run_files import Table


def with_history(run, names, *rows, **config):
    table = Table(["epoch", *names], [[str(n), *row] for n, row in enumerate(rows)])
    return dataclasses.replace(run, history=table, config=config)


def test_the_losses_of_a_gan_share_a_panel_and_the_frechet_distance_stands_beside(run):
    found = panels.list_panels(run)
    titles = [one.title for one in found]
    assert titles[:2] == ["Losses", "Fréchet distance"]
    assert titles[-2:] == ["Time of a step", "Time of an epoch"]
    assert [line.label for line in found[0].lines] == ["discriminator", "generator"]
    assert [one.unit for one in found[-2:]] == ["µs per step", "seconds"]
    assert found[1].lines[0].points == [(1, 300.0), (2, 30.0), (3, 3.0)]


def test_validation_stands_with_training(run):
    run = with_history(run, ["loss", "val_loss"], ["2", "3"], ["1", "NA"], loss="mean_error")
    panel = panels.list_panels(run)[0]
    assert (panel.title, panel.unit) == ("Loss", "mean error")
    assert [one.label for one in panel.lines] == ["training", "validation"]
    assert panel.lines[1].points == [(1, 3.0), (2, None)]


def test_levels_of_the_sliced_distance_are_in_their_order(run):
    names = ["val_swd", "val_swd_14", "val_swd_7", "d_loss"]
    panel = panels.list_panels(with_history(run, names, ["1"] * 4))[-3]
    assert [one.label for one in panel.lines] == ["mean", "7 pixels high", "14 pixels high"]


def test_learning_rates_come_from_the_history_otherwise_from_the_record(run):
    logged = with_history(run, ["loss", "learning_rate_a", "learning_rate_b"], ["1", "2", "3"])
    panel = next(one for one in panels.list_panels(logged) if one.title == "Learning rate")
    assert [line.label for line in panel.lines] == ["a", "b"]
    rows = [{"epoch": 0, "learning_rates": {"generator_optimizer": 0.5, "optimizer": 0.25}}]
    recorded = dataclasses.replace(run, record={"epochs": rows})
    panel = next(one for one in panels.list_panels(recorded) if one.title == "Learning rate")
    lines = [(line.label, line.points) for line in panel.lines]
    assert lines == [("generator", [(1, 0.5)]), ("optimizer", [(1, 0.25)])]


def test_a_log_without_a_number_has_no_panel(run):
    run = dataclasses.replace(with_history(run, ["text", "loss"], ["[1]", "2"]), record={})
    assert [one.title for one in panels.list_panels(run)] == ["Loss"]
