"""From text to a syntax tree, by a parser that is never given more than it can take.

Python's parser recurses, and its tree is built by recursion too; the tokens are counted first, so
that a deep nest is refused before it reaches them. Names are ASCII: Python reads several letters as
one (NFKC), and a reader of the program would not see which is meant.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import unicodedata
import warnings

from jaxrl.errors import ProgramError
from jaxrl.rewards.program.refusal import (
    MAX_BRACKETS,
    MAX_CHARACTERS,
    MAX_DEPTH,
    MAX_INDENTS,
    MAX_NAME,
    MAX_NODES,
    MAX_TOKENS,
    MAX_TOKENS_OF_STATEMENT,
    refuse,
)

COOKIE = re.compile(r"^[ \t\f]*#.*?coding[:=][ \t]*[-\w.]+", re.ASCII)
MAX_DIGITS = 40
SPLIT = "split it into several statements that give parts of it names"
SHORTER = "write a shorter program"


def parse(source: str) -> ast.Module:
    """The syntax tree of a program; raises `ProgramError` for text that is none, or too large."""
    _check_text(source)
    _check_tokens(source)
    try:
        with warnings.catch_warnings():  # of a stranger's text nobody here wants to hear
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except SyntaxError as error:
        raise refuse(error.lineno, f"not Python ({error.msg})", _advice(source)) from None
    except (RecursionError, MemoryError):  # what Python's parser says to a nest that is too deep
        raise refuse(None, "an expression is nested too deep", SPLIT) from None
    except ValueError as error:
        raise refuse(None, f"not Python ({error})", _advice(source)) from None
    _check_tree(tree)
    return tree


def _advice(source: str) -> str:
    if source.lstrip().startswith("```"):
        return "give the program alone, without Markdown's fences around it"
    return "write Python that parses"


def _check_text(source: str) -> None:
    if not isinstance(source, str):
        raise refuse(None, f"a program is text, this is {type(source).__name__}", "give a str")
    if len(source) > MAX_CHARACTERS:
        raise refuse(None, f"{len(source)} characters, allowed are {MAX_CHARACTERS}", SHORTER)
    if not source.strip():
        raise refuse(None, "there is no program", "write def reward(state, action, next_state)")
    for number, line in enumerate(source.split("\n"), 1):
        if any(ord(c) < 32 and c not in "\t\r\f" for c in line) or _has_surrogate(line):
            raise refuse(number, "a control character", "write plain text")
        if number <= 2 and COOKIE.match(line):
            raise refuse(number, "a declaration of the text's encoding", "leave it out")


def _has_surrogate(line: str) -> bool:
    return any(0xD800 <= ord(c) <= 0xDFFF for c in line)


def _check_tokens(source: str) -> None:
    """Counts what the parser would recurse into, and looks at the letters of names."""
    brackets = indents = in_statement = count = 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            line, text = token.start[0], token.string
            count += 1
            in_statement += 1
            if token.type == tokenize.NEWLINE:
                in_statement = 0
            elif token.type == tokenize.INDENT:
                indents += 1
            elif token.type == tokenize.DEDENT:
                indents -= 1
            elif token.type == tokenize.OP:
                brackets += (text in "([{") - (text in ")]}")
            elif token.type == tokenize.NUMBER and len(text) > MAX_DIGITS:
                raise refuse(line, f"a number of {len(text)} digits", "write a shorter one")
            elif token.type == tokenize.NAME and len(text) > MAX_NAME:
                raise refuse(line, f"a name of {len(text)} letters", "write a shorter one")
            elif token.type in (tokenize.NAME, tokenize.ERRORTOKEN) and not text.isascii():
                raise _foreign(line, text)
            if brackets > MAX_BRACKETS:
                raise refuse(line, f"more than {MAX_BRACKETS} open brackets", SPLIT)
            if indents > MAX_INDENTS:
                raise refuse(line, f"more than {MAX_INDENTS} levels of indentation", SPLIT)
            if in_statement > MAX_TOKENS_OF_STATEMENT:
                raise refuse(line, "a statement that is too long", SPLIT)
            if count > MAX_TOKENS:
                raise refuse(line, f"more than {MAX_TOKENS} words and signs", SHORTER)
    except tokenize.TokenError as error:
        raise refuse(error.args[1][0], f"not Python ({error.args[0]})", _advice(source)) from None
    except SyntaxError as error:
        raise refuse(error.lineno, f"not Python ({error.msg})", _advice(source)) from None


def _foreign(line: int, text: str) -> ProgramError:
    sign = next(c for c in text if not c.isascii())
    name = unicodedata.name(sign, "no name")
    return refuse(
        line, f"the sign {sign!r} (U+{ord(sign):04X}, {name}) in {text[:40]!r}", "write ASCII"
    )


def _check_tree(tree: ast.Module) -> None:
    """Counts nodes and levels, without recursion."""
    count, todo = 0, [(tree, 1)]
    while todo:
        node, depth = todo.pop()
        count += 1
        if count > MAX_NODES:
            raise refuse(None, f"more than {MAX_NODES} nodes of syntax", SHORTER)
        if depth > MAX_DEPTH:
            line = getattr(node, "lineno", None)
            raise refuse(line, f"more than {MAX_DEPTH} levels of syntax", SPLIT)
        todo.extend((child, depth + 1) for child in ast.iter_child_nodes(node))
