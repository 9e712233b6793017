"""Tests of the files of a search: which count as damaged, and what tells two searches apart."""

import functools

import pytest
import tensorflow as tf

from kerasmodes.tuning import folders


@pytest.mark.parametrize("content", ["", "[]", "3", "null", "[" * 20_000, None])
@pytest.mark.parametrize("name", ["trial_0/trial.json", folders.DESCRIPTION])
def test_a_damaged_file_is_named(name, content, tmp_path):
    path = tmp_path / name
    (path.parent if content is not None else path).mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=f"must be whole. Received: .*{name}, damaged"):
        folders.check_files(tmp_path, repair=False)


def test_json_of_the_users_own_may_hold_anything(tmp_path):
    (tmp_path / "mine.json").write_text("[1, 2]")
    folders.check_files(tmp_path, repair=False)


def build(hp, width):
    raise NotImplementedError


def test_a_function_with_other_arguments_is_another_search():
    one, other = (
        folders.describe_search(functools.partial(build, width=width), {}) for width in (3, 4)
    )
    assert one["hypermodel"] == ["build", [], {"width": 3}]
    assert one != other


def test_a_text_is_told_apart_by_its_words_not_by_its_place_in_memory():
    texts = [["one", "two"], ["ONE".lower(), "two"], ["one", "too"]]
    first, equal, other = (folders.describe_search(build, {"x": tf.constant(t)}) for t in texts)
    assert first == equal
    assert first != other
