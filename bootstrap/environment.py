"""The private Python environment in the cache, made in steps that are each finished or redone."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from .cache import GIGABYTE, discard, require_space
from .errors import BootstrapError, last_lines
from .host import REPOSITORY
from .installer import Installer, child_environment, run_logged
from .requirements import LEFT_OUT, TORCH, TORCH_COMPANIONS, host_requirements, short_hash, tool_requirements

TEST_TOOLS = tool_requirements((REPOSITORY / "pyproject.toml").read_text("utf-8"))
WHOLE_SPACE = 4 * GIGABYTE
BORROWED_SPACE = 1 * GIGABYTE
TOOLS_SPACE = GIGABYTE // 2


@dataclass(frozen=True)
class BorrowedTorch:
    """The torch of the Python that runs the bootstrap, which the private environment then uses."""

    version: str
    prefix: str


def borrowed_torch() -> BorrowedTorch | None:
    """Return the torch that this Python already has, if it has torchvision as well."""
    if not (importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision")):
        return None
    try:
        return BorrowedTorch(importlib.metadata.version("torch"), sys.prefix)
    except importlib.metadata.PackageNotFoundError:
        return None


class Environment:
    """A virtual environment whose folder name carries a hash of all it is made from."""

    def __init__(self, root: Path, host_source: str, torch: BorrowedTorch | None) -> None:
        self.root = root
        self.torch = torch
        kept = (f"{torch.version} {torch.prefix}",) if torch else (TORCH, *TORCH_COMPANIONS)
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        mark = short_hash((version, sys.base_prefix, host_source, *kept, *sorted(LEFT_OUT), *TEST_TOOLS))
        self.folder = root / f"python-{version}-{mark}"
        self.python = self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.installer = Installer(self.python, root / "logs")

    def create(self) -> None:
        """Make the bare environment; raises BootstrapError if this Python cannot or the disk is too full."""
        if self._marker("created").is_file() and self._answers():
            return
        require_space(self.root, BORROWED_SPACE if self.torch else WHOLE_SPACE)
        discard(self.folder)
        log = self.root / "logs" / "venv.log"
        shared = self.torch is not None and sys.prefix == sys.base_prefix
        options = ["--system-site-packages"] if shared else []
        command = [sys.executable, "-m", "venv", *options, str(self.folder)]
        if run_logged(command, log, "Making a Python environment"):
            discard(self.folder)
            raise BootstrapError(
                "Expected Python to make a virtual environment with pip, but it could not.\n"
                "On Debian and Ubuntu, install the package python3-venv; or use a Python that has the module venv.\n"
                f"{last_lines(log, 6)}\nThe whole output: {log}"
            )
        if self.torch is not None and not shared:
            self._see_caller()
        self._marker("created").touch()

    def install_host(self, requirements_file: Path) -> None:
        """Install torch and then what a ComfyUI asks for; raises BootstrapError if pip fails."""
        if self.torch is None:
            self._step("torch", lambda force: self._install("Installing PyTorch", "torch", [TORCH], force))
            # What they ask of torch does not fit a build from elsewhere, so pip must not follow it.
            names = ["--no-deps", *TORCH_COMPANIONS]
            self._step("companions", lambda force: self._install("Installing torchvision", "companions", names, force))
        wanted = host_requirements(requirements_file.read_text("utf-8"))
        self._step("host", lambda force: self._install("Installing what ComfyUI needs", "host", wanted, force))

    def install_tools(self) -> None:
        """Install the test tools; raises BootstrapError if pip fails."""
        if not self._marker("tools").is_file():
            require_space(self.root, TOOLS_SPACE)
        tools = list(TEST_TOOLS)
        self._step("tools", lambda force: self._install("Installing the test tools", "tools", tools, force))

    def _install(self, label: str, name: str, wanted: Iterable[str], force: bool) -> None:
        constraints = self.folder / "constraints.txt"
        fixed = [f"torch=={self.torch.version}"] if self.torch else [TORCH, *TORCH_COMPANIONS]
        constraints.write_text("\n".join(fixed) + "\n", "utf-8")
        redo = ["--force-reinstall"] if force else []
        self.installer.pip(label, name, ["install", *redo, "-c", str(constraints), *wanted])

    def _step(self, name: str, action: Callable[[bool], None]) -> None:
        done, begun = self._marker(name), self._marker(f"{name}-begun")
        if done.is_file():
            return
        # A package that an interrupted pip left half written looks installed to the next pip.
        force = begun.is_file()
        begun.touch()
        action(force)
        done.touch()
        begun.unlink()

    def _marker(self, name: str) -> Path:
        return self.folder / f".reg-{name}"

    def _answers(self) -> bool:
        """Tell whether the environment still starts, which it does not once the Python that made it is gone."""
        try:
            command = [str(self.python), "-c", "import pip"]
            return subprocess.run(command, env=child_environment(), capture_output=True, timeout=120).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def _see_caller(self) -> None:
        """Let the environment see the packages of the virtual environment that runs the bootstrap."""
        scheme = {"base": str(self.folder), "platbase": str(self.folder)}
        packages = Path(sysconfig.get_path("purelib", vars=scheme))
        seen = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
        (packages / "reg_caller.pth").write_text("\n".join(seen) + "\n", "utf-8")
