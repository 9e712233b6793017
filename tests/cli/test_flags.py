"""Tests of the flags that the commands read from the library's signatures."""

import jsonargparse
import pytest

from kerasmodes.cli import flags, help


def make_boxes(count: int = 3, sizes: tuple[int, ...] = (2, 3), name: str | None = None, **others):
    """Makes boxes.

    Args:
        count: Number of boxes, 100 % of them full. Defaults to `3`.
        sizes: Sizes of a box.
    """


def make_old_boxes(count=7, *, is_old=True):
    """Makes old boxes."""


def test_flags_have_the_names_defaults_and_help_of_arguments():
    parser = jsonargparse.ArgumentParser(formatter_class=help.HelpFormatter)
    names = flags.add_arguments(parser, "boxes", make_boxes, make_old_boxes, skip={"name"})
    assert names == ["count", "sizes", "is_old"]
    found = flags.pick(parser.parse_args([]), names)
    assert found == {"count": 3, "sizes": (2, 3), "is_old": True}
    words = " ".join(parser.format_help().split())
    assert "boxes: --count INT Number of boxes, 100 % of them full. (default: 3)" in words
    assert "--is-old {true,false}" in words


def test_type_hints_do_not_restrict_a_flag():
    parser = jsonargparse.ArgumentParser()
    flags.add_arguments(parser, "boxes", make_boxes)
    found = parser.parse_args(["--count=2.5", "--sizes=4,a", "--name=[a]"])
    assert (found.count, found.sizes, found.name) == (2.5, [4, "a"], "[a]")


def test_names_of_folders_are_shown_as_they_are(capsys):
    flags.console.print("runs/[b] :smile: ä")
    assert capsys.readouterr().out == "runs/[b] :smile: ä\n"


def test_help_has_the_first_sentence_in_plain_words():
    def paint(color, layers=1):
        """Paints.

        Args:
            color: `"red"` or `None`. Nothing else.
            layers: Positive int, the number of layers. Defaults to `1`.
        """

    assert flags.read_help(paint) == {"color": "red or None.", "layers": "Number of layers."}


@pytest.mark.parametrize("error", [ValueError, TypeError])
def test_an_error_names_the_flag_where_the_argument_has_another_name(error):
    message = "^`max_age` must be small. Received: max_age=3, page=4$"
    with pytest.raises(error, match=message), flags.name_flag("age", "max_age"):
        raise error("`age` must be small. Received: age=3, page=4")
    with pytest.raises(error, match="^`size`: use max_age=3$"), flags.name_flag("age", "max_age"):
        raise error("`size`: use age=3")


def test_an_error_of_another_kind_is_left_as_it_is():
    with pytest.raises(UnicodeDecodeError), flags.name_flag("age", "max_age"):
        b"\xff".decode()


def test_an_error_has_the_arguments_as_flags_but_not_in_values():
    parser = jsonargparse.ArgumentParser()
    parser.add_argument("run")
    flags.add_arguments(parser, "boxes", make_old_boxes)
    words = "`is_old` must be true, of `run`. Received: is_old=3, run='is_old=4/a', its_count=5"
    found = flags.name_flags(words, parser)
    assert found == (
        "`--is-old` must be true, of `run`. Received: --is-old=3, run='is_old=4/a', its_count=5"
    )
