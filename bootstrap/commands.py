"""The commands of run.py: prepare what they need, then hand over to a program of the private environment."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .archive import CURRENT, FLOOR
from .browser import VARIABLE, provide_browser
from .cache import exclusive, open_cache
from .children import hand_over
from .environment import Environment, borrowed_torch
from .errors import BootstrapError, nearest
from .frontend import VARIABLE as FRONTEND
from .frontend import fetch_frontend
from .host import REPOSITORY, existing_host, fetch_host, host_version, read_part
from .installer import child_environment
from .node import node_for_tests
from .pack import load
from .ports import claim_port

COST = "cost"
BENCHMARKS = ("playground", "frontier", "precision", COST)
RANGES = "ranges"  # only when it is named: it needs the real digits, which come with a test tool
INTERRUPTED, NO_TESTS_COLLECTED = 2, 5  # exit codes of pytest
# A process for each processor, but no more than there is memory for (1.5 GB each).
WORKERS = ("-n", "logical", "--maxprocesses", "4", "--dist", "worksteal")
# Before Python 3.11 there is no switch that keeps the current folder off the import path.
PYTEST_WITHOUT_FOLDER = "import sys; sys.path.pop(0); import pytest; sys.exit(pytest.main(sys.argv[1:]))"


@dataclass(frozen=True)
class Workplace:
    """The Python to run with, the ComfyUI to run in and, if that is the pinned one, the oldest that is supported.

    ``frontend`` is the newest one, to test with besides the ComfyUI's own.
    """

    python: Path
    host: Path
    floor: Path | None
    frontend: Path | None

    def program(self, name: str, arguments: Sequence[str]) -> list[str]:
        """Name the command that runs a module or a script of the repository."""
        return [str(self.python), "-m", "bootstrap", name, *arguments]


def own_environment() -> dict[str, str]:
    """Return the environment variables for a program that runs elsewhere and finds the same cache."""
    return {**child_environment(), "REG_HOME": str(open_cache())}


def prepare(testing: bool) -> Workplace:
    """Fetch what is missing of the environment and the hosts; raises BootstrapError if something cannot be had."""
    root = open_cache()
    own = existing_host(os.environ, REPOSITORY)
    if own is not None:
        require_floor(own)
    source = read_part(own, "requirements.txt") if own else CURRENT.requirement
    environment = Environment(root, source, borrowed_torch())
    with exclusive(root):
        environment.create()
        host = own or fetch_host(CURRENT, root, environment.installer)
        floor = fetch_host(FLOOR, root, environment.installer) if testing and own is None else None
        environment.install_host(host / "requirements.txt")
        if testing:
            environment.install_tools()
        frontend = fetch_frontend(root, environment.installer) if testing else None
    return Workplace(environment.python, host, floor, frontend)


def require_floor(host: Path) -> None:
    """Raise BootstrapError if a ComfyUI says no version, or one that this pack does not work with."""
    try:
        load("reg_root", REPOSITORY / "__init__.py").require_comfyui(host_version(host))
    except ImportError as error:
        raise BootstrapError(f"{error}\nIt is in {host}; or set COMFYUI_PATH to a newer one.") from error


def require_output(output: Path) -> None:
    """Raise BootstrapError if a picture cannot be written to a file, before any work is done for it."""
    if output.is_dir():
        raise BootstrapError(
            f"Expected --output to name a file, but {output} is a folder.\n"
            f"Name a file in it, e.g. --output {output / 'reg_demo.png'}."
        )
    if not output.parent.is_dir():
        raise BootstrapError(
            f"Expected --output to name a file in a folder that exists, but there is no folder {output.parent}.\n"
            "Make that folder, or choose another file with --output."
        )
    if not os.access(output if output.exists() else output.parent, os.W_OK):
        raise BootstrapError(f"Expected to write {output}, but you may not.\nChoose another file with --output.")


def run_demo(serve: bool, port: int | None, output: str) -> int:
    """Run the demo and return its exit code; raises BootstrapError if it cannot be prepared."""
    if port is not None:
        claim_port(port)
    require_output(Path(output))
    place = prepare(testing=False)
    arguments = ["--host", str(place.host), "--output", output]
    arguments += ["--serve"] if serve else []
    arguments += ["--port", str(port)] if port is not None else []
    return hand_over(place.program("bootstrap.demo", arguments), REPOSITORY, own_environment())


def run_benchmarks(name: str | None, arguments: Sequence[str]) -> int:
    """Run one benchmark, or all, and return the first exit code that is not zero; raises BootstrapError."""
    folder = REPOSITORY / "benchmarks"
    if name is not None and name not in (*BENCHMARKS, RANGES):
        raise BootstrapError(
            f"Expected one of the benchmarks {', '.join((*BENCHMARKS, RANGES))}, but got '{name}'.\n"
            f"Run e.g. `python run.py bench {nearest(name, (*BENCHMARKS, RANGES)) or BENCHMARKS[0]}`."
        )
    if arguments and name != COST:
        raise BootstrapError(
            f"Expected nothing after `bench {name}`, but got '{arguments[0]}'.\n"
            "Leave it out: only `python run.py bench cost` takes names."
        )
    place = prepare(testing=name == RANGES)
    environment = {**own_environment(), "COMFYUI_PATH": str(place.host)}
    for script in BENCHMARKS if name is None else (name,):
        code = hand_over(place.program(str(folder / f"{script}.py"), arguments), REPOSITORY, environment)
        if code:
            return code
    return 0


def run_compatibility(word: str | None, missing: bool) -> int:
    """Run the compatibility matrix in both hosts and return the first exit code that is not zero; BootstrapError."""
    place = prepare(testing=True)
    arguments, codes = [*(["--only", word] if word else []), *(["--missing"] if missing else [])], []
    for host in filter(None, (place.floor, place.host)):
        environment = {**child_environment(), "COMFYUI_PATH": str(host), "PYTHONSAFEPATH": "1"}
        environment["PYTHONPATH"] = str(REPOSITORY / "tests")
        script = str(REPOSITORY / "tests" / "start_matrix.py")
        codes.append(hand_over([str(place.python), script, *arguments], REPOSITORY, environment))
        if codes[-1] < 0:
            break
    return next((code for code in codes if code), 0)


def run_tests(arguments: Sequence[str]) -> int:
    """Run all tests, and in the oldest ComfyUI those that need one; return the first exit code that is not zero.

    Raises BootstrapError if they cannot be prepared.
    """
    place = prepare(testing=True)
    tools = node_for_tests(place.python)
    browser = browser_for_tests() | {FRONTEND: str(place.frontend)}
    runs = [PytestRun("All tests", place.python, place.host, arguments, variables=tools | browser)]
    if place.floor is not None:
        runs.append(PytestRun("What needs ComfyUI", place.python, place.floor, arguments, mark="host", variables=tools))
    codes = []
    for tests in runs:
        print(f"\n{tests}", flush=True)
        codes.append(hand_over(tests.command, REPOSITORY, tests.environment))
        if codes[-1] < 0:  # ended by a signal
            return codes[-1]
        if codes[-1] == INTERRUPTED:
            break
    # A selection of tests by the user may well have none in one of the runs.
    chosen = [code for code in codes if code != NO_TESTS_COLLECTED or not arguments] or [NO_TESTS_COLLECTED]
    return next((code for code in chosen if code), 0)


def browser_for_tests() -> dict[str, str]:
    """Name the browser to the tests; where there is none they say so and fail, and all others run."""
    try:
        return {VARIABLE: str(provide_browser(os.environ, open_cache() / "logs"))}
    except BootstrapError as error:
        print(f"\n{error}", flush=True)
        return {}


@dataclass(frozen=True)
class PytestRun:
    """One run of pytest with a ComfyUI: further arguments, environment variables and the mark that tests must have."""

    title: str
    python: Path
    host: Path
    arguments: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.title}, ComfyUI {host_version(self.host)} ({self.host})"

    @property
    def environment(self) -> dict[str, str]:
        # Compiling the host's modules anew is a fifth of each start of a server.
        kept = {name: value for name, value in child_environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
        return {**kept, **self.variables, "COMFYUI_PATH": str(self.host), "PYTHONSAFEPATH": "1"}

    @property
    def command(self) -> list[str]:
        start = ["-m", "pytest"] if sys.version_info >= (3, 11) else ["-c", PYTEST_WITHOUT_FOLDER]
        named = any((REPOSITORY / item.split("::")[0]).exists() for item in self.arguments if not item.startswith("-"))
        chosen = [*([] if named else ["tests"]), *(["-m", self.mark] if self.mark else [])]
        return [str(self.python), *start, *WORKERS, *chosen, *self.arguments]
