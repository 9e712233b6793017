"""Makes the page of the public names, scripts/guides/api.md, from their docstrings.

Command:  .venv/bin/python scripts/assets/make_api_page.py
Cost:     10 seconds, nearly all of them for importing TensorFlow.

A public name is one of `kerasmodes.__all__`, or one of a module that is listed there: a name of the
module's own `__all__`, or, without one, a class or function that the module defines.
`tests/test_api_page.py` checks that the committed page lists every public name.
"""

import inspect
import pathlib
import re
import types

import kerasmodes as km

PATH = pathlib.Path(__file__).resolve().parents[1] / "guides" / "api.md"
INTRODUCTION = """# The public names

`import kerasmodes as km` gives every name on this page. `scripts/assets/make_api_page.py` makes the
page from the docstrings: change a docstring and run the script again, never edit the page.
"""
SECTION = re.compile(
    r"(Args|Call arguments|Returns|Yields|Raises|Attributes|Example|Examples|Note):$"
)
ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def find_public_objects():
    """Returns a dictionary from full public names, such as `km.callbacks.Resume`, to objects.

    Classes and functions of the top level come first, then each module with its own names.
    """
    objects = {f"km.{name}": getattr(km, name) for name in sorted(km.__all__)}
    found = {n: o for n, o in objects.items() if not isinstance(o, types.ModuleType)}
    for name, module in objects.items():
        if isinstance(module, types.ModuleType):
            found[name] = module
            found |= {f"{name}.{own}": getattr(module, own) for own in _find_own_names(module)}
    return found


def _find_own_names(module):
    if hasattr(module, "__all__"):
        return sorted(module.__all__)
    return sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    )


def find_members(cls, public_classes):
    """Returns the documented public methods and properties that a class adds.

    Args:
        cls: A public class.
        public_classes: The public classes. What `cls` inherits from one of them is not repeated,
            what it inherits from a private class of the package is listed.

    Returns:
        A dictionary from names to functions and properties, in the order of definition.
    """
    members = {}
    for base in cls.__mro__:
        if base is not cls and base in public_classes:
            break
        for name, value in vars(base).items():
            function = getattr(value, "fget", getattr(value, "__func__", value))
            is_public = inspect.isfunction(function) and not name.startswith("_")
            # What only wraps a method of Keras has Keras's docstring, and its module.
            if is_public and function.__doc__ and function.__module__.startswith("kerasmodes"):
                members.setdefault(name, value)
    return members


def format_docstring(text):
    """Returns a docstring as Markdown: its sections as bold words, its arguments as lists."""
    section, is_code, lines = None, False, []
    for line in inspect.cleandoc(text).splitlines():
        is_fence = line.lstrip().startswith("```")
        is_code ^= is_fence
        heading = SECTION.match(line)
        if line and not line.startswith(" ") and not is_code:
            section = None  # What is not indented belongs to no section.
        if heading and not is_code:
            section = heading[1]
            lines += [f"**{section}**", ""]
        elif not line and lines[-1:] == [""] and not is_code:
            continue
        elif (
            section in (None, "Example", "Examples", "Note")
            or is_code
            or is_fence
            or not line.strip()
        ):
            lines.append(line)
        else:
            lines.append(_format_entry(line.removeprefix("    "), section))
    return "\n".join(lines)


def _format_entry(line, section):
    """Returns a line of `Args:` or `Raises:` as a list item or its continuation."""
    if section in ("Returns", "Yields") or line.startswith(" "):
        return line.strip() if section in ("Returns", "Yields") else f"  {line.strip()}"
    name, colon, rest = line.partition(": ")
    return f"- `{name}`: {rest}" if colon else f"- {line}"


def format_signature(name, value):
    """Returns `name(arguments)` as a block of Python, one argument a line when it is long."""
    try:
        signature = inspect.signature(value)
    except ValueError:  # An exception has its constructor in C.
        return f"```python\n{name}(message)\n```"
    shown = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    signature = signature.replace(parameters=shown)
    text = ADDRESS.sub("", f"{name}{signature}")
    if len(text) > 88:
        parameters, is_after_star = [], False
        for parameter in shown:
            if parameter.kind is parameter.KEYWORD_ONLY and not is_after_star:
                parameters.append("*")
            is_after_star |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
            parameters.append(ADDRESS.sub("", str(parameter)))
        end = str(signature.replace(parameters=()))[1:]
        text = "\n".join([f"{name}(", *(f"    {one}," for one in parameters), end])
    return f"```python\n{text}\n```"


def format_object(name, value, public_classes):
    """Returns the part of the page about one public name."""
    if isinstance(value, types.ModuleType):
        return f"## {name}\n\n{format_docstring(value.__doc__)}"
    parts = [f"### {name}", format_signature(name, value)]
    if inspect.isclass(value):
        parts += _format_parents(value, public_classes)
    parts.append(format_docstring(value.__doc__))
    if inspect.isclass(value):
        members = find_members(value, public_classes)
        parts += [_format_member(name, member, members[member]) for member in members]
    return "\n\n".join(parts)


def _format_parents(cls, public_classes):
    names = [public_classes[base] for base in cls.__mro__[1:] if base in public_classes]
    return [f"Inherits from `{names[0]}`."] if names else []


def _format_member(class_name, name, value):
    if isinstance(value, property):
        return f"#### {class_name}.{name}\n\n{format_docstring(value.__doc__)}"
    function = getattr(value, "__func__", value)
    signature = format_signature(f"{class_name}.{name}", function)
    return f"#### {class_name}.{name}\n\n{signature}\n\n{format_docstring(function.__doc__)}"


def make_page():
    """Returns the page as Markdown."""
    objects = find_public_objects()
    classes = {value: name for name, value in objects.items() if inspect.isclass(value)}
    parts = [INTRODUCTION.strip(), "## km"]
    parts += [format_object(name, value, classes) for name, value in objects.items()]
    return "\n\n".join(parts) + "\n"


def main():
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(make_page(), "utf-8")
    print(f"{PATH}: {len(find_public_objects())} names")


if __name__ == "__main__":
    main()
