"""The library as its source declares it: signatures, docstrings and constants, without an import.

To import the library starts TensorFlow, which takes seconds; flags and their help do not need it.
"""

import ast
import builtins
import functools
import importlib.util
import inspect
import itertools
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import Any

# Packages whose sources are read. Of others, only Python's own are imported.
READ = ("kerasmodes", "keras")


class Module(types.ModuleType):
    """A module that is read, not run: each name is looked up when it is first asked for.

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
        value = _read_value(base, cls._module)
        found = _find_method(value, name) if isinstance(value, _Class) else None
        if found is not None:
            return found
    return None


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
    return _read_value(node.value, module)


def _read_value(node, module):
    """Returns the value of an expression: of literals, names, and what annotations have."""
    read = functools.partial(_read_value, module=module)
    match node:
        case ast.Constant() | ast.UnaryOp():
            return ast.literal_eval(node)
        case ast.Name(id=name):
            is_own = name in module._nodes or not hasattr(builtins, name)
            return getattr(module if is_own else builtins, name)
        case ast.Attribute(value=value, attr=name):
            return getattr(read(value), name)
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            lists = [
                read(part.value) if isinstance(part, ast.Starred) else [read(part)]
                for part in parts
            ]
            return (list if isinstance(node, ast.List) else tuple)(itertools.chain(*lists))
        case ast.Dict(keys=keys, values=values):
            return {read(key): read(value) for key, value in zip(keys, values, strict=True)}
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return read(left) | read(right)
        case ast.Subscript(value=value, slice=part):
            return read(value)[read(part)]
        case ast.Lambda():
            return _Unknown("lambda", (), {})
    raise NotImplementedError(f"{module.__name__} has {ast.unparse(node)!r}, which is not read")


def _make_function(node, module):
    def function(*args, **kwargs):
        raise NotImplementedError("declared, not imported")

    function.__name__ = function.__qualname__ = node.name
    function.__module__, function.__doc__ = module.__name__, ast.get_docstring(node)
    function.__signature__ = inspect.Signature(_list_parameters(node.args, module))
    return function


def _list_parameters(node, module):
    """Returns the parameters of a signature in its source."""
    one = inspect.Parameter
    positional = [(arg, one.POSITIONAL_ONLY) for arg in node.posonlyargs]
    positional += [(arg, one.POSITIONAL_OR_KEYWORD) for arg in node.args]
    defaults = [None] * (len(positional) - len(node.defaults)) + node.defaults
    found = [(*pair, default) for pair, default in zip(positional, defaults, strict=True)]
    found += [(node.vararg, one.VAR_POSITIONAL, None)]
    pairs = zip(node.kwonlyargs, node.kw_defaults, strict=True)
    found += [(arg, one.KEYWORD_ONLY, default) for arg, default in pairs]
    found += [(node.kwarg, one.VAR_KEYWORD, None)]

    def read(node):
        return one.empty if node is None else _read_value(node, module)

    return [
        one(arg.arg, kind, default=read(default), annotation=read(arg.annotation))
        for arg, kind, default in found
        if arg is not None
    ]


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
