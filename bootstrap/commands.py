"""The commands of run.py: prepare what they need, then hand over to a program of the private environment."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .browser import VARIABLE, provide_browser
from .cache import exclusive, open_cache
from .children import beside, hand_over
from .environment import Environment, borrowed_torch
from .errors import BootstrapError
from .host import CURRENT, FLOOR, REPOSITORY, existing_host, fetch_host, host_version
from .installer import child_environment
from .ports import claim_port

BENCHMARKS = ("playground", "precision", "cost")
RANGES = "ranges"  # only when it is named: it needs the real digits, which come with a test tool
INTERRUPTED, NO_TESTS_COLLECTED = 2, 5  # exit codes of pytest
# Before Python 3.11 there is no switch that keeps the current folder off the import path.
PYTEST_WITHOUT_FOLDER = "import sys; sys.path.pop(0); import pytest; sys.exit(pytest.main(sys.argv[1:]))"


@dataclass(frozen=True)
class Workplace:
    """The Python to run with, the ComfyUI to run in and, if that is the pinned one, the oldest that is supported."""

    python: Path
    host: Path
    floor: Path | None


def prepare(testing: bool) -> Workplace:
    """Fetch what is missing of the environment and the hosts; raises BootstrapError if something cannot be had."""
    root = open_cache()
    own = existing_host(os.environ, REPOSITORY)
    source = (own / "requirements.txt").read_text("utf-8") if own else CURRENT.requirement
    environment = Environment(root, source, borrowed_torch())
    with exclusive(root):
        environment.create()
        host = own or fetch_host(CURRENT, root, environment.installer)
        floor = fetch_host(FLOOR, root, environment.installer) if testing and own is None else None
        environment.install_host(host / "requirements.txt")
        if testing:
            environment.install_tools()
    return Workplace(environment.python, host, floor)


def run_demo(serve: bool, port: int | None, output: str) -> int:
    """Run the demo and return its exit code; raises BootstrapError if it cannot be prepared."""
    if port is not None:
        claim_port(port)
    place = prepare(testing=False)
    command = [str(place.python), "-m", "bootstrap.demo", "--host", str(place.host), "--output", output]
    command += ["--serve"] if serve else []
    command += ["--port", str(port)] if port is not None else []
    return hand_over(command, REPOSITORY, child_environment())


def run_benchmarks(name: str | None, arguments: Sequence[str]) -> int:
    """Run one benchmark, or all, and return the first exit code that is not zero; raises BootstrapError."""
    folder = REPOSITORY / "benchmarks"
    if name is not None and name not in (*BENCHMARKS, RANGES):
        raise BootstrapError(f"Expected one of the benchmarks {', '.join((*BENCHMARKS, RANGES))}, but got '{name}'.")
    place = prepare(testing=name == RANGES)
    environment = {**child_environment(), "COMFYUI_PATH": str(place.host)}
    for script in BENCHMARKS if name is None else (name,):
        code = hand_over([str(place.python), str(folder / f"{script}.py"), *arguments], REPOSITORY, environment)
        if code:
            return code
    return 0


def run_tests(arguments: Sequence[str]) -> int:
    """Run the tests, those in a browser beside the others; return the first exit code that is not zero.

    Raises BootstrapError if they cannot be prepared.
    """
    place = prepare(testing=True)
    browser = browser_for_tests()
    pages = Tests("The user interface in a browser", place.python, place.host, "browser", arguments, browser)
    others = [Tests("All but the user interface", place.python, place.host, "not browser", arguments)]
    if place.floor is not None:
        others.append(Tests("What needs ComfyUI", place.python, place.floor, "host", arguments))
    codes, log = [], open_cache() / "logs" / "browser-tests.log"
    with beside(pages.command, REPOSITORY, pages.environment, log) as running:
        for tests in others:
            print(f"\n{tests}", flush=True)
            codes.append(hand_over(tests.command, REPOSITORY, tests.environment))
            if codes[-1] < 0:  # ended by a signal: so are those in the browser
                return codes[-1]
            if codes[-1] == INTERRUPTED:
                break
        codes.append(running.wait())
        print(f"\n{pages}\n{log.read_text('utf-8', 'replace')}", flush=True)
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
class Tests:
    """One run of pytest with a ComfyUI: the tests with a mark, further arguments and environment variables."""

    title: str
    python: Path
    host: Path
    mark: str
    arguments: Sequence[str]
    variables: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.title}, ComfyUI {host_version(self.host)} ({self.host})"

    @property
    def environment(self) -> dict[str, str]:
        return {**child_environment(), **self.variables, "COMFYUI_PATH": str(self.host), "PYTHONSAFEPATH": "1"}

    @property
    def command(self) -> list[str]:
        start = ["-m", "pytest"] if sys.version_info >= (3, 11) else ["-c", PYTEST_WITHOUT_FOLDER]
        named = any((REPOSITORY / item.split("::")[0]).exists() for item in self.arguments if not item.startswith("-"))
        return [str(self.python), *start, *([] if named else ["tests"]), "-m", self.mark, *self.arguments]
