"""Tests of the files of a search: which count as damaged."""

import pytest

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
