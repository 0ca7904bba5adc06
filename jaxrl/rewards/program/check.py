"""The syntax that a program may use; everything else is refused here, all of it at once.

Nothing is evaluated yet. What is said of a construct says also what to write in its place.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from jaxrl.errors import ProgramError
from jaxrl.rewards.program import table
from jaxrl.rewards.program.refusal import MAX_LITERAL, Refusal, first_few
from jaxrl.rewards.program.text import parse

SYNTAX = (
    *(ast.Module, ast.FunctionDef, ast.arguments, ast.arg, ast.Return, ast.Assign, ast.AugAssign),
    *(ast.AnnAssign, ast.If, ast.For, ast.Expr, ast.Pass, ast.Import, ast.ImportFrom, ast.alias),
    *(ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.IfExp, ast.Dict, ast.Compare, ast.Call, ast.keyword),
    *(ast.Constant, ast.Attribute, ast.Subscript, ast.Name, ast.List, ast.Tuple, ast.Slice),
    *(ast.Starred, ast.expr_context, ast.boolop, ast.operator, ast.unaryop, ast.cmpop),
)
INSTEAD: dict[type[ast.AST], tuple[str, str]] = {
    ast.AsyncFunctionDef: ("async def", "write def"),
    ast.ClassDef: ("a class", "write functions and pass them what they need"),
    ast.Lambda: ("a lambda", "write a helper with def"),
    ast.While: ("while", "write for i in range(n), n up to 16"),
    ast.AsyncFor: ("async for", "write for i in range(n), n up to 16"),
    ast.With: ("with", "leave it out"),
    ast.AsyncWith: ("async with", "leave it out"),
    ast.Match: ("match", "write if and elif"),
    ast.Raise: ("raise", "return a reward for every state"),
    ast.Try: ("try", "leave it out; guard divisions with jnp.where or a small constant"),
    ast.TryStar: ("try", "leave it out; guard divisions with jnp.where or a small constant"),
    ast.Assert: ("assert", "leave it out"),
    ast.Delete: ("del", "leave it out"),
    ast.Global: ("global", "pass the value to the helper and return what it changes"),
    ast.Nonlocal: ("nonlocal", "pass the value to the helper and return what it changes"),
    ast.Break: ("break", "use if inside the loop"),
    ast.Continue: ("continue", "use if inside the loop"),
    ast.NamedExpr: (":=", "assign on a line of its own"),
    ast.Set: ("a set", "write a tuple"),
    ast.ListComp: ("a comprehension", "write a for loop or the terms themselves"),
    ast.SetComp: ("a comprehension", "write a for loop or the terms themselves"),
    ast.DictComp: ("a comprehension", "write a for loop or the items themselves"),
    ast.GeneratorExp: ("a comprehension", "write a for loop or the terms themselves"),
    ast.Await: ("await", "leave it out"),
    ast.Yield: ("yield", "return the reward"),
    ast.YieldFrom: ("yield from", "return the reward"),
    ast.JoinedStr: ("an f-string", "write names of components as plain strings"),
    ast.FormattedValue: ("an f-string", "write names of components as plain strings"),
    ast.LShift: ("<<", "use * and **"),
    ast.RShift: (">>", "use / and **"),
}
CONSTANTS = (bool, int, float, str, type(None), type(...))


class Checked(NamedTuple):
    """A program whose syntax is allowed.

    Attributes:
        tree: its syntax tree.
        modules: names that stand for modules, imported or not.
        imported: names imported from a module, to module and name, `jax.numpy.exp`.
        torch: whether torch is spoken, some of whose methods mean something else than numpy's.
    """

    tree: ast.Module
    modules: dict[str, str]
    imported: dict[str, str]
    torch: bool


def check(source: str) -> Checked:
    """Parses a program and checks its syntax; raises `ProgramError` with all that is refused."""
    tree = parse(source)
    refusals: list[Refusal] = []
    modules, imported = _imports(tree, refusals)
    reserved = {*modules, *imported, *table.BUILTINS}
    for node in _nodes(tree):
        refusals += _complaints(node, reserved)
    for node in tree.body:
        refusals += _top_level(node)
    for node in _nodes(tree):
        if isinstance(node, (ast.If, ast.For)):
            refusals += _hidden_functions(node)
    if refusals:
        raise ProgramError(*first_few(refusals))
    return Checked(tree, modules, imported, _speaks_torch(tree, modules, imported))


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but annotations, which nobody evaluates; refused nodes without their insides."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        if type(node) in INSTEAD:
            continue
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns"):
                todo += [v for v in (value if isinstance(value, list) else [value]) if _is(v)]


def _is(value: object) -> bool:
    return isinstance(value, ast.AST)


def _imports(tree: ast.Module, refusals: list[Refusal]) -> tuple[dict[str, str], dict[str, str]]:
    """What names stand for: modules, and functions or constants of them.

    A name has one meaning in the whole text, wherever it was imported.
    """
    modules, imported = dict(table.ALIASES), {}
    given: dict[str, str] = {}
    imports = [node for node in _nodes(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    for node in sorted(imports, key=lambda node: node.lineno):
        for name, path in _named(node, refusals):
            function = path not in table.MODULES
            if given.setdefault(name, path) != path or (function and name in table.ALIASES):
                reason = f"{name} stands for {given[name]} and for {path}"
                reason = reason if given[name] != path else f"{name} already has a meaning here"
                refusals.append(Refusal(node.lineno, reason, "import it by another name"))
            (imported if function else modules)[name] = path
    return modules, imported


def _named(node: ast.Import | ast.ImportFrom, refusals: list[Refusal]) -> Iterator[tuple[str, str]]:
    """Names that an import gives, and the module or function of the table that each is."""
    advice = "leave it out; jnp, np, math and torch are there without an import"
    if isinstance(node, ast.Import):
        for alias in node.names:
            if alias.name not in table.MODULES:
                refusals.append(Refusal(node.lineno, f"import of {alias.name}", advice))
            elif alias.asname:
                yield alias.asname, alias.name
        return
    if node.level or node.module not in (*table.MODULES, "typing", "__future__"):
        refusals.append(Refusal(node.lineno, f"import from {node.module or '.'}", advice))
    elif node.module in table.MODULES:
        for alias in node.names:
            path = f"{node.module}.{alias.name}"
            known = (table.FUNCTIONS, table.CONSTANTS)
            if path in table.MODULES or any(alias.name in names for names in known):
                yield alias.asname or alias.name, path
            else:
                refusals.append(Refusal(node.lineno, f"import of {path}", advice))


def _speaks_torch(tree: ast.Module, modules: dict[str, str], imported: dict[str, str]) -> bool:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    paths = [known[name] for known in (modules, imported) for name in names if name in known]
    return any(path.startswith("torch") for path in paths)


def _complaints(node: ast.AST, reserved: set[str]) -> Iterator[Refusal]:
    """What is wrong with one node by itself."""
    line = getattr(node, "lineno", None)
    if isinstance(node, ast.operator):  # has no line; its expression says it
        return
    operator = getattr(node, "op", None)
    if type(operator) in INSTEAD:
        what, advice = INSTEAD[type(operator)]
        yield Refusal(line, f"{what} is not in the language", advice)
    if type(node) in INSTEAD:
        what, advice = INSTEAD[type(node)]
        yield Refusal(line, f"{what} is not in the language", advice)
    elif not isinstance(node, SYNTAX):
        yield Refusal(line, f"{type(node).__name__} is not in the language", "leave it out")
    elif isinstance(node, ast.Constant):
        yield from _constant(node)
    elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
        yield Refusal(line, f"attribute {node.attr}", "use a quantity or a function by its name")
    elif isinstance(node, ast.FunctionDef):
        yield from _function(node)
        yield from _binding(line, node.name, reserved)
    elif isinstance(node, ast.arg):
        yield from _binding(line, node.arg, reserved)
    elif isinstance(node, ast.Name):
        if isinstance(node.ctx, ast.Store):
            yield from _binding(line, node.id, reserved)
        elif node.id.startswith("__"):
            yield Refusal(line, f"name {node.id}", "use names of your own")
    elif isinstance(node, ast.Call):
        if any(isinstance(a, ast.Starred) for a in node.args) or any(
            keyword.arg is None for keyword in node.keywords
        ):
            yield Refusal(line, "* or ** in a call", "write the arguments out")
    elif isinstance(node, ast.Dict) and None in node.keys:
        yield Refusal(line, "** in a dict", "write the items out")
    elif isinstance(node, ast.Expr) and not _is_docstring(node):
        yield Refusal(line, "a statement whose value nobody uses", "leave it out")
    elif isinstance(node, ast.For) and node.orelse:
        yield Refusal(line, "else of a loop", "write it after the loop")
    elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute):
                yield Refusal(line, "assignment to an attribute", "give the value a name instead")


def _constant(node: ast.Constant) -> Iterator[Refusal]:
    value = node.value
    if not isinstance(value, CONSTANTS):
        kind = type(value).__name__
        yield Refusal(node.lineno, f"a constant of type {kind}", "write a number")
    elif isinstance(value, (int, float)) and not abs(value) <= MAX_LITERAL:
        yield Refusal(node.lineno, "a number beyond 1e9", "write a smaller number")


def _function(node: ast.FunctionDef) -> Iterator[Refusal]:
    line, arguments = node.lineno, node.args
    if node.decorator_list:
        yield Refusal(line, f"a decorator of {node.name}", "leave it out")
    if arguments.vararg or arguments.kwarg:
        yield Refusal(line, f"* or ** in the arguments of {node.name}", "name each argument")
    for default in (*arguments.defaults, *(d for d in arguments.kw_defaults if d)):
        value = default.operand if isinstance(default, ast.UnaryOp) else default
        if not isinstance(value, ast.Constant) or isinstance(value.value, str):
            yield Refusal(line, f"a default of {node.name} that is no number", "write a number")


def _binding(line: int | None, name: str, reserved: set[str]) -> Iterator[Refusal]:
    if name in reserved:
        yield Refusal(line, f"{name} already has a meaning here", "use another name for it")
    elif name.startswith("__"):
        yield Refusal(line, f"name {name}", "use a name without underscores in front")


def _top_level(node: ast.stmt) -> Iterator[Refusal]:
    allowed = (ast.FunctionDef, ast.Assign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.Pass)
    if not isinstance(node, allowed) and not _is_docstring(node) and type(node) not in INSTEAD:
        advice = "only functions and constants stand outside of functions"
        yield Refusal(node.lineno, "a statement outside of a function", advice)


def _hidden_functions(node: ast.If | ast.For) -> Iterator[Refusal]:
    for child in (*node.body, *node.orelse):
        if isinstance(child, ast.FunctionDef):
            advice = "define helpers before the if or for"
            yield Refusal(child.lineno, f"{child.name} is defined only on some paths", advice)


def _is_docstring(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
