"""The page of the public names is complete, and every public name has a docstring."""

import inspect

import make_api_page
import pytest

OBJECTS = make_api_page.find_public_objects()


def find_headings(text):
    """Returns the names that have a heading of the second or third level."""
    lines = [line for line in text.splitlines() if line.startswith(("## ", "### "))]
    return {line.lstrip("# ") for line in lines}


def test_the_page_lists_exactly_the_public_names():
    listed = find_headings(make_api_page.PATH.read_text("utf-8"))
    assert listed == {"km", *OBJECTS}, "run scripts/assets/make_api_page.py"


@pytest.mark.parametrize("name", OBJECTS)
def test_each_public_name_has_a_docstring(name):
    assert (OBJECTS[name].__doc__ or "").strip()


def test_modules_come_with_their_own_names():
    assert inspect.ismodule(OBJECTS["km.callbacks"])
    assert inspect.isclass(OBJECTS["km.callbacks.Resume"])
    assert inspect.isfunction(OBJECTS["km.random.normal"])
    assert "km.random.tf" not in OBJECTS


def test_what_a_public_parent_documents_is_not_repeated():
    parent, child = OBJECTS["km.ModesMixin"], OBJECTS["km.Model"]
    assert "fit" in make_api_page.find_members(parent, {parent, child})
    assert "fit" not in make_api_page.find_members(child, {parent, child})


def test_sections_of_a_docstring_become_lists():
    docstring = """Returns the sum.

    Args:
        x: Float tensor,
            of any shape.
        y: The same.

    Raises:
        ValueError: If the shapes differ.

    Example:

    ```python
    Args: 1
    ```
    """
    expected = """Returns the sum.

**Args**

- `x`: Float tensor,
  of any shape.
- `y`: The same.

**Raises**

- `ValueError`: If the shapes differ.

**Example**

```python
Args: 1
```"""
    assert make_api_page.format_docstring(docstring) == expected


def test_a_long_signature_has_one_argument_a_line():
    def measure(first_argument, *, second_argument: int = 1_000_000, third_argument="3") -> float:
        pass

    assert make_api_page.format_signature("km.measure", measure).splitlines()[1:-1] == [
        "km.measure(",
        "    first_argument,",
        "    *,",
        "    second_argument: int = 1000000,",
        "    third_argument='3',",
        ") -> float",
    ]
