"""Tests of which logs share a panel; more through a run in `tests/reporting/test_panels.py`."""

from kerasmodes import log_panels
from kerasmodes.log_panels import Line, Panel


def test_losses_come_first_and_the_frechet_distance_beside_them():
    names = ("real_accuracy", "val_frechet", "fake_accuracy", "g_loss", "d_loss")
    found = log_panels.list_panels({name: [(1, 2.0)] for name in names})
    assert [one.title for one in found] == ["Losses", "Fréchet distance", "Discriminator"]
    assert [line.label for line in found[0].lines] == ["generator", "discriminator"]


def test_the_axis_of_a_loss_has_its_name():
    curves = {"loss": [(1, 2.0)]}
    assert log_panels.list_panels(curves)[0].unit == "loss (no unit)"
    assert log_panels.list_panels(curves, "mean_error")[0].unit == "mean error"


def test_values_over_many_decades_have_a_log_axis():
    def has_log_axis(*values):
        return log_panels.has_log_axis(Panel("", "", [Line("", list(enumerate(values)))]))

    assert has_log_axis(1.0, 100.0, float("nan"), None)
    assert not has_log_axis(1.0, 10.0)
    assert not has_log_axis(0.0, 100.0)
    assert not has_log_axis()
