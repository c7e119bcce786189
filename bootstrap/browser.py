"""The browser that the tests of the user interface run in: the user's own, or Debian's where apt-get may install it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .errors import BootstrapError
from .installer import run_logged

VARIABLE = "REG_BROWSER"
# The headless shell is Chromium without its own windows, tabs and bars, which cost a fifth of the time of a page.
# Snap packages of Chromium cannot read the profile folders of an automated browser, so Chrome and Edge come before it.
COMMANDS = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "google-chrome",
    "google-chrome-stable",
    "chromium",
    "chromium-browser",
    "chrome",
    "microsoft-edge",
    "microsoft-edge-stable",
    "msedge",
)
PACKAGES = ("chromium-headless-shell", "chromium", "chromium-browser")
MISSING = (
    "Expected Chrome, Chromium or Edge for the tests of the user interface, but found none.\n"
    "Install one (Debian: `apt-get install chromium`; Ubuntu: Google's Chrome package), "
    f"or set {VARIABLE} to the program of one."
)


def find_browser(environment: Mapping[str, str], platform: str = sys.platform, home: Path | None = None) -> Path | None:
    """The program of an installed Chrome, Chromium or Edge; raises BootstrapError if REG_BROWSER names no file."""
    named = environment.get(VARIABLE)
    if named:
        path = Path(os.path.abspath(os.path.expanduser(named)))
        if not path.is_file():
            raise BootstrapError(
                f"Expected the program of a browser in {VARIABLE}={named}, but there is no such file.\n"
                "Set it to the program of Chrome, Chromium or Edge, or unset it to search for one."
            )
        return path
    for command in COMMANDS:
        found = shutil.which(command, path=environment.get("PATH", ""))
        if found:
            return Path(found)
    return next((path for path in usual_places(environment, platform, home or Path.home()) if path.is_file()), None)


def usual_places(environment: Mapping[str, str], platform: str, home: Path) -> list[Path]:
    """Where the installers of Chrome, Chromium and Edge put their programs on a platform."""
    if platform == "win32":
        roots = [
            environment[name] for name in ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA") if environment.get(name)
        ]
        programs = (
            "Google/Chrome/Application/chrome.exe",
            "Chromium/Application/chrome.exe",
            "Microsoft/Edge/Application/msedge.exe",
        )
        return [Path(root) / program for program in programs for root in roots]
    if platform == "darwin":
        names = ("Google Chrome", "Chromium", "Microsoft Edge")
        folders = (Path("/Applications"), home / "Applications")
        return [folder / f"{name}.app" / "Contents" / "MacOS" / name for name in names for folder in folders]
    return [Path(place) for place in ("/opt/google/chrome/chrome", "/usr/lib/chromium/chromium", "/snap/bin/chromium")]


def provide_browser(environment: Mapping[str, str], logs: Path) -> Path:
    """The installed browser, else Debian's, installed now; raises BootstrapError if there is neither."""
    found = find_browser(environment)
    if found is not None:
        return found
    prefix = apt_prefix()
    if prefix is None:
        raise BootstrapError(MISSING)
    log = logs / "browser.log"
    run_logged([*prefix, "apt-get", "update"], log, "Updating the list of packages")
    for package in PACKAGES:
        command = [*prefix, "apt-get", "install", "-y", "--no-install-recommends", package]
        if run_logged(command, log, f"Installing {package}") == 0:
            found = find_browser(environment)
            # Ubuntu's package holds no browser, only a program that says where to find one.
            if found is not None and says_version(found):
                return found
    raise BootstrapError(f"{MISSING}\nThe output of apt-get: {log}")


def apt_prefix() -> list[str] | None:
    """What to put before apt-get so that it may install packages; None where it may not or is not there."""
    if not shutil.which("apt-get"):
        return None
    if os.geteuid() == 0:
        return []
    asked = shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
    return ["sudo", "-n"] if asked else None


def says_version(program: Path) -> bool:
    """Tell whether a program starts as a browser does, which an installed stand-in does not."""
    try:
        return subprocess.run([str(program), "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False
