"""The library as its source declares it: signatures, docstrings and constants, without an import.

To import the library starts TensorFlow, which takes seconds; flags and their help do not need it.
"""

import ast
import builtins
import copy
import functools
import importlib.util
import inspect
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import Any

# Packages whose sources are read. Of others, only Python's own are imported.
READ = ("kerasmodes", "keras")
BODY = ast.parse("raise NotImplementedError('declared, not imported')").body


class Module(types.ModuleType):
    """A module that is read, not run: each name is evaluated when it is first asked for.

    A function has its signature, its docstring and no body. A class has those of its constructor,
    and its methods, the inherited ones included; docstrings are not inherited. Of a name with
    several definitions, such as one a backend, the first counts.

    Args:
        name: Full name of the module.

    Example:

    ```python
    from kerasmodes.cli import declared

    inspect.signature(declared.km.data.sums)
    ```
    """

    def __init__(self, name: str):
        super().__init__(name)
        self._nodes = {}
        for node in _walk_statements(ast.parse(_find_path(name).read_bytes()).body):
            for bound in _list_names(node):
                self._nodes.setdefault(bound, node)

    def __getattr__(self, name: str) -> Any:
        nodes = vars(self).get("_nodes", {})
        if name in nodes:
            value = _evaluate(nodes[name], name, self)
        elif not name.startswith("_") and _find_path(f"{self.__name__}.{name}").exists():
            value = _import_module(f"{self.__name__}.{name}")
        elif not name.startswith("_") and self.__name__ == "keras":
            raise ImportError(
                f"`keras` must be Keras's own package. Received: {_find_path('keras').parent}, "
                f"which declares no {name!r}. Start the command in another folder."
            )
        else:
            raise AttributeError(f"module {self.__name__!r} declares no {name!r}")
        setattr(self, name, value)
        return value


class _Unknown(type):
    """The type of what is neither read nor imported: it stands in annotations alone."""

    def __getattr__(cls, name):
        return _Unknown(name, (), {})

    def __getitem__(cls, item):
        return cls


class _Class(type):
    """The type of a class that is read: its signature and methods are those of the source."""

    def __getattr__(cls, name):
        found = None if name.startswith("__") else _find_method(cls, name)
        if found is None:
            raise AttributeError(f"{cls.__module__}.{cls.__name__} declares no {name!r}")
        return found

    @property
    def __signature__(cls):
        constructor = _find_method(cls, "__init__")
        if constructor is None:
            return inspect.Signature()
        first, *parameters = inspect.signature(constructor).parameters.values()
        return inspect.Signature(parameters)


def _find_method(cls, name):
    """Returns a method of a class that is read, or of the first of its bases that has it."""
    for one in cls._node.body:
        if isinstance(one, ast.FunctionDef) and one.name == name:
            return _make_function(one, cls._module)
    for base in cls._node.bases:
        value = _run(ast.Expression(base), cls._module)
        found = _find_method(value, name) if isinstance(value, _Class) else None
        if found is not None:
            return found
    return None


class _Names(dict):
    """The names that an expression of a module may use."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def __missing__(self, name):
        try:
            return getattr(self.module, name)
        except AttributeError:
            raise KeyError(name) from None


def _run(node, module, names=None):
    """Returns the value of an expression; runs a statement whose names are then in `names`."""
    mode = "eval" if isinstance(node, ast.Expression) else "exec"
    code = compile(ast.fix_missing_locations(node), module.__name__, mode)
    names = _Names(module) if names is None else names
    return eval(code, {"__builtins__": builtins, "__name__": module.__name__}, names)


def _evaluate(node, name, module):
    if isinstance(node, ast.FunctionDef):
        return _make_function(node, module)
    if isinstance(node, ast.ClassDef):
        own = {"_node": node, "_module": module, "__module__": module.__name__}
        return _Class(name, (), {**own, "__doc__": ast.get_docstring(node)})
    if isinstance(node, ast.Import):
        whole = next((alias.name for alias in node.names if alias.asname == name), name)
        return _import_module(whole)
    if isinstance(node, ast.ImportFrom):
        own = next(alias.name for alias in node.names if name in (alias.asname, alias.name))
        if node.module == module.__name__:  # A package that imports a module of its own.
            return _import_module(f"{node.module}.{own}")
        return getattr(_import_module(node.module), own)
    return _run(ast.Expression(node.value), module)


def _make_function(node, module):
    node = copy.copy(node)
    words = ast.get_docstring(node)
    node.body = [*([] if words is None else [ast.Expr(ast.Constant(words))]), *BODY]
    node.decorator_list, node.returns = [], None
    names = _Names(module)
    _run(ast.Module([node], []), module, names)
    return names[node.name]


@functools.cache
def _import_module(name):
    """Returns a module: read, imported if it is Python's own, or unknown."""
    package = name.partition(".")[0]
    if package in sys.stdlib_module_names:
        return importlib.import_module(name)
    if package not in READ:
        return _Unknown(name, (), {})
    return Module(name)


def _find_path(name):
    """Returns the path of a module's source, which need not exist; imports nothing."""
    package, *parts = name.split(".")
    folder = pathlib.Path(importlib.util.find_spec(package).origin).parent.joinpath(*parts)
    return folder / "__init__.py" if folder.is_dir() else folder.with_name(f"{folder.name}.py")


def _walk_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields the statements at the top of a module, those under `if` and `try` included."""
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try)):
            yield from _walk_statements([*node.body, *node.orelse])


def _list_names(node):
    """Returns the names that a statement binds."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [alias.asname or alias.name for alias in node.names]
        return [n.partition(".")[0] if isinstance(node, ast.Import) else n for n in names]
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [one.id for one in targets if isinstance(one, ast.Name)]


km: Any = _import_module("kerasmodes")
keras: Any = _import_module("keras")
