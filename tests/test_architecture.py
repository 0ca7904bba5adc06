"""The rules of the house, read off the source: who imports whom, what is loaded when, what leaks.

Every rule is a function from source text to complaints, so that it is shown to complain as well
as to keep quiet.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent

ROOMS = {
    # L0: words
    "jaxrl.types": 0,
    "jaxrl.errors": 0,
    "jaxrl.records": 0,
    # L1: environments' contract, mathematics, parts
    "jaxrl.config": 1,
    "jaxrl.devices": 1,
    "jaxrl.environment": 1,
    "jaxrl.env_check": 1,
    "jaxrl.adapters": 1,
    "jaxrl.restarts": 1,
    "jaxrl.vector": 1,
    "jaxrl.wrappers": 1,
    "jaxrl.episodes": 1,
    "jaxrl.spaces": 1,
    "jaxrl.returns": 1,
    "jaxrl.objectives": 1,
    "jaxrl.distributions": 1,
    "jaxrl.networks": 1,
    "jaxrl.products": 1,
    "jaxrl.normalise": 1,
    "jaxrl.minibatch": 1,
    "jaxrl.entropy": 1,
    "jaxrl.on_policy": 1,
    "jaxrl.advantages": 1,
    "jaxrl.episodic": 1,
    "jaxrl.group": 1,
    "jaxrl.optim": 1,
    "jaxrl.off_policy": 1,
    "jaxrl.critics": 1,
    "jaxrl.q_learning": 1,
    "jaxrl.train_state": 1,
    "jaxrl.replay": 1,
    "jaxrl.replay_sizes": 1,
    "jaxrl.stats": 1,
    # L2: estimators, rewards, policies
    "jaxrl.algorithms": 2,
    "jaxrl.rewards": 2,
    "jaxrl.vlm": 2,
    "jaxrl.agents": 2,
    "jaxrl.evaluation": 2,
    # L3: what drives them
    "jaxrl.update": 3,
    "jaxrl.plan": 3,
    "jaxrl.programs": 3,
    "jaxrl.host_loop": 3,
    "jaxrl.training": 3,
    "jaxrl.sweeping": 3,
    "jaxrl.search": 3,
    "jaxrl.run": 3,
    # L4: what a user types
    "jaxrl.presets": 4,
    "jaxrl.cli": 4,
    "jaxrl.commands": 4,
}
"""Module or package to level; a package's modules are in its room."""

NOT_FOR_ALGORITHMS = ("jaxrl.update", "jaxrl.training", "jaxrl.run", "jaxrl.vlm", "jaxrl.search")
KNOWN_TO_VLM = ("jaxrl.vlm", "jaxrl.errors")
INSIDE_FUNCTIONS = {
    "torch",
    "transformers",
    "matplotlib",
    "wandb",
    "openai",
    "anthropic",
    "gymnasium",
    "gymnax",
    "brax",
    "jumanji",
    "tensorboardX",
    "PIL",
    "imageio",
}


class Import(NamedTuple):
    """One imported module: its full name, its line, and whether a function does it."""

    name: str
    line: int
    inside: bool


SOURCES = {
    ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__"): path
    for base, package in ((ROOT, "jaxrl"), (ROOT / "envs", "jaxrl_envs"))
    for path in sorted((base / package).rglob("*.py"))
}
"""Module name to file, of both packages."""


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(source: str) -> list[Import]:
    """What a module imports when it runs; imports for type checkers are left out.

    `from package import name` counts as `package.name` where that is a module of ours.
    """

    def walk(node: ast.AST, inside: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Import(full if full in SOURCES else base, node.lineno, inside)
        inside |= isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        children = node.orelse if is_type_checking(node) else ast.iter_child_nodes(node)
        for child in children:
            yield from walk(child, inside)

    return list(walk(ast.parse(source), False))


def under(name: str, *packages: str) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


def room(module: str) -> str | None:
    """The entry of `ROOMS` that a module is in, or None."""
    return next((name for name in ROOMS if under(module, name)), None)


def complaints(module: str, source: str) -> list[str]:
    """What a module's imports do that the rules of the house forbid."""
    found = []
    for name, line, inside in imports(source):
        where = f"{module}:{line} imports {name}"
        top = name.partition(".")[0]
        if not top:
            found.append(f"{where}: write the package's name, as everywhere else")
        if top in INSIDE_FUNCTIONS and not inside:
            found.append(f"{where} when it is loaded: import it inside a function")
        if top == "distrax" and module != "jaxrl.distributions":
            found.append(f"{where}: only jaxrl.distributions may")
        if under(module, "jaxrl_envs") and top in ("jaxrl", "gymnax"):
            found.append(f"{where}: the environments stand alone")
        if under(module, "jaxrl") and top == "jaxrl":
            found += [f"{where}: {why}" for why in _misplaced(module, name)]
    return found


def _misplaced(module: str, name: str) -> Iterator[str]:
    """Why one module of `jaxrl` may not import another."""
    own, other = room(module), room(name)
    if own is None or other is None:
        # The front door: anybody may read its version, and it loads its names lazily.
        if own is None and module != "jaxrl":
            yield f"{module} is in no room, add it to ROOMS"
        return
    if ROOMS[other] > ROOMS[own]:
        yield f"imports go up the list, {other} is level {ROOMS[other]}, {own} {ROOMS[own]}"
    if under(module, "jaxrl.algorithms"):
        if under(name, *NOT_FOR_ALGORITHMS):
            yield "an algorithm does not know who drives it"
        if under(name, "jaxrl.algorithms") and module != "jaxrl.algorithms":
            yield "an algorithm does not import another"
    if under(module, "jaxrl.vlm") and not under(name, *KNOWN_TO_VLM):
        yield "the VLM parts know nothing of RL"


def broad_handlers(source: str) -> list[int]:
    """Lines of handlers that catch everything."""
    broad = {"Exception", "BaseException"}

    def catches_all(handler: ast.ExceptHandler) -> bool:
        if handler.type is None:
            return True
        kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        return any(isinstance(kind, ast.Name) and kind.id in broad for kind in kinds)

    nodes = ast.walk(ast.parse(source))
    return [n.lineno for n in nodes if isinstance(n, ast.ExceptHandler) and catches_all(n)]


MACHINE = re.compile(
    # The folders of one machine; in brackets, so that this line is none.
    r"(?<![\w.])/[w]ork/|(?<![\w.])/[r]oot/|(?<![\w.])/[o]pt/|(?<![\w.])/[h]ome/\w|[f]ile://"
    # Registries and their addresses. `--no-emit-index-url` is how the lock keeps clear of them.
    r"|(?<!no-emit)-[i]ndex-url|(?<!no-emit)-[f]ind-links|[p]ypi\.org|[p]ythonhosted"
    r"|[l]ocalhost|127\.[0]\.0\.1"
)


def tracked_files() -> list[Path]:
    """The files of a clone: those that git tracks or would, or all if this is not a repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode == 0:
        paths = [ROOT / name for name in listed.stdout.split("\0") if name]
        return [path for path in paths if path.is_file()]
    folders = ("jaxrl", "envs", "tests", "benchmarks", "notebooks", "docs", ".ci")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*")]
    return [
        path
        for path in [*paths, *ROOT.iterdir()]
        if path.is_file() and "__pycache__" not in path.parts
    ]


def in_fresh_python(code: str) -> set[str]:
    """The top-level modules loaded after running code in a new interpreter."""
    code += "\nimport sys; print('\\n'.join({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines())


@pytest.mark.parametrize("module", SOURCES)
def test_imports_obey_the_rules(module):
    assert complaints(module, SOURCES[module].read_text()) == []


def test_every_module_is_in_a_room():
    ours = [name for name in SOURCES if under(name, "jaxrl") and name != "jaxrl"]
    assert len(ours) > 20
    assert [name for name in ours if room(name) is None] == []


def test_modules_do_not_wait_for_each_other_to_load():
    graph = {
        name: {
            i.name
            for i in imports(path.read_text())
            # A package gathers its own modules, and they may ask it for a neighbour.
            if i.name in SOURCES and not i.inside and not under(name, i.name)
        }
        for name, path in SOURCES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' → '.join(error.args[1])}")


@pytest.mark.parametrize(
    ("module", "source", "said"),
    [
        ("jaxrl.returns", "from jaxrl.training import train", "imports go up the list"),
        ("jaxrl.returns", "def f():\n  from jaxrl import evaluation", "imports go up the list"),
        ("jaxrl.run.plots", "import jaxrl.cli", "imports go up the list"),
        ("jaxrl.algorithms.dqn", "from jaxrl.algorithms import ppo", "does not import another"),
        ("jaxrl.algorithms.dqn", "from . import ppo", "write the package's name"),
        ("jaxrl.algorithms.dqn", "import jaxrl.vlm.client", "does not know who drives it"),
        ("jaxrl.vlm.client", "from jaxrl.returns import gae", "know nothing of RL"),
        ("jaxrl.attic", "from jaxrl import errors", "is in no room"),
        ("jaxrl.networks", "import distrax", "only jaxrl.distributions"),
        ("jaxrl.run.plots", "import matplotlib.pyplot as plt", "inside a function"),
        ("jaxrl.run.plots", "try:\n  from PIL import Image\nexcept ImportError: 0", "inside"),
        ("jaxrl_envs.pong", "from jaxrl.types import Array", "stand alone"),
        ("jaxrl_envs.pong", "def f():\n  import gymnax", "stand alone"),
    ],
)
def test_a_breach_is_found(module, source, said):
    found = complaints(module, source)
    assert len(found) == 1 and said in found[0], found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("jaxrl.run.plots", "if TYPE_CHECKING:\n  from matplotlib.figure import Figure"),
        ("jaxrl.run.plots", "def f():\n  import matplotlib"),
        ("jaxrl.cli", "def f():\n  from jaxrl import __version__"),
        ("jaxrl.algorithms", "from jaxrl.algorithms import ppo"),
        ("jaxrl.vlm.client", "from jaxrl.errors import ConfigError"),
        ("jaxrl_envs.cartpole", "from jaxrl_envs import base"),
    ],
)
def test_what_is_allowed_is_let_through(module, source):
    assert complaints(module, source) == []


def test_no_handler_catches_everything():
    found = {name: broad_handlers(path.read_text()) for name, path in SOURCES.items()}
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("kind", ["", " Exception", " (OSError, BaseException) as error"])
def test_a_broad_handler_is_found(kind):
    assert broad_handlers(f"try:\n  f()\nexcept{kind}:\n  pass") == [3]


def test_no_tracked_file_knows_a_machine_or_a_registry():
    found = []
    for path in tracked_files():
        if b"\0" in path.read_bytes()[:1024]:
            continue  # a picture
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if match := MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match[0]}")
    assert found == []


@pytest.mark.parametrize(
    "line",
    ["cd /" + "work/main", "see file:" + "///x", "pip --index" + "-url x", "/ho" + "me/ann/x"],
)
def test_a_machine_is_found(line):
    assert MACHINE.search(line)


@pytest.mark.parametrize("line", ["uv pip compile --no-emit-index-url", "src/work/x", "./opt/x"])
def test_what_is_no_machine_is_let_through(line):
    assert not MACHINE.search(line)


def test_importing_jaxrl_and_asking_for_help_loads_nothing_heavy():
    loaded = in_fresh_python("import jaxrl, jaxrl.cli; jaxrl.cli.main(['--help'])")
    assert loaded & {"jax", "numpy", "flax", "tyro", "rich"} == set()
    assert "jaxrl" in loaded


def test_training_loads_nothing_that_only_some_runs_need():
    loaded = in_fresh_python("import jaxrl; jaxrl.train; jaxrl.ppo; jaxrl.make('CartPole-v1')")
    assert loaded & {*INSIDE_FUNCTIONS, "seaborn", "pandas", "IPython"} == set()
    assert {"jax", "jaxrl_envs"} <= loaded


def test_every_name_of_the_package_is_there_whatever_was_imported_first():
    import jaxrl
    import jaxrl.algorithms.ppo
    import jaxrl.evaluation
    import jaxrl.training

    assert jaxrl.train is jaxrl.training.train
    assert jaxrl.evaluate is jaxrl.evaluation.evaluate
    assert jaxrl.ppo is jaxrl.algorithms.ppo.ppo
    assert set(jaxrl._HOME) <= set(dir(jaxrl))
    for name in jaxrl._HOME:
        assert getattr(jaxrl, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'tarin'"):
        jaxrl.tarin  # noqa: B018


def test_type_checkers_see_the_names_that_are_loaded_lazily():
    import jaxrl

    tree = ast.parse(SOURCES["jaxrl"].read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname: node.module.removeprefix("jaxrl.")
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    assert seen == jaxrl._HOME
