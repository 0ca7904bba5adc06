"""What makes two texts one program: an id that comments, layout and spellings do not change.

The id is a hash of the syntax tree without docstrings, annotations and imports, and with `np.exp`,
`torch.exp` and an imported `exp` written the same way; what means something else to one library,
such as `torch.std`, keeps its name. It is written out here and not by `ast.dump`, whose
text differs between versions of Python.
"""

from __future__ import annotations

import ast
import difflib
import hashlib

from jaxrl.rewards.program import libraries
from jaxrl.rewards.program.check import Checked

SILENT = {"ctx", "type_comment", "kind", "type_params", "annotation", "returns", "type_ignores"}
"""Fields that change nothing of what a program computes."""


def canonical(program: Checked) -> str:
    """A text that is equal for programs of equal structure."""
    return _written(program.tree, program)


def program_id(kind: str, program: Checked, schema: str) -> str:
    """Sixteen hexadecimal digits that name a program of a kind over a schema."""
    text = "\n".join((kind, schema, canonical(program)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def diff(parent: str, child: str, names: tuple[str, str] = ("parent", "child")) -> str:
    """The lines that changed from one text to the other, as a unified diff; empty for none."""
    lines = difflib.unified_diff(parent.splitlines(), child.splitlines(), *names, lineterm="")
    return "\n".join(lines)


def _written(node: object, program: Checked) -> str:
    if isinstance(node, list):
        return f"[{' '.join(_written(item, program) for item in _said(node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.AnnAssign) and node.value is not None:
        node = ast.Assign(targets=[node.target], value=node.value)
    if isinstance(node, ast.Attribute) and (module := _module(node.value, program)):
        return f"(table {libraries.spelled(f'{module}.{node.attr}')})"
    if isinstance(node, ast.Name) and node.id in program.imported:
        return f"(table {libraries.spelled(program.imported[node.id])})"
    fields = [
        f"{name}={_written(getattr(node, name, None), program)}"
        for name in node._fields
        if name not in SILENT
    ]
    return f"({type(node).__name__} {' '.join(fields)})"


def _said(nodes: list[object]) -> list[object]:
    """The statements of a block that say something."""

    def silent(node: object) -> bool:
        if isinstance(node, ast.Expr):
            return isinstance(node.value, ast.Constant)
        return isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass))

    return [node for node in nodes if not silent(node)]


def _module(node: ast.AST, program: Checked) -> str:
    """The module that a chain of attributes begins with; "" for another."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return program.modules.get(node.id, "") if isinstance(node, ast.Name) else ""
