"""What the private environment holds, and which parts of ComfyUI's own list it leaves out."""

import ast
import hashlib
import re
from collections.abc import Iterable

from .errors import BootstrapError

TORCH = "torch==2.13.0"
TORCH_COMPANIONS = ("torchvision==0.28.0", "torchaudio==2.11.0")

# The torch family is installed apart; the rest are pictures and texts for the user interface, up to 800 MB of them.
LEFT_OUT = frozenset({"torch", "torchvision", "torchaudio", "comfyui-workflow-templates", "comfyui-embedded-docs"})


def package_name(requirement: str) -> str:
    """Return the normalised package name that a requirement begins with."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", found.group(0)).lower() if found else ""


def host_requirements(text: str, left_out: Iterable[str] = LEFT_OUT) -> list[str]:
    """List the requirements in the text of a requirements file as pinned there, without those left out."""
    dropped = {package_name(name) for name in left_out}
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in text.splitlines()]
    return [line for line in lines if line and package_name(line) not in dropped]


def tool_requirements(project: str) -> tuple[str, ...]:
    """List the `test` extra in the text of a pyproject.toml; raises BootstrapError if there is none."""
    # The standard library reads TOML only from Python 3.11 on; a list of plain strings reads the same in Python.
    found = re.search(r"^test\s*=\s*(\[.*?\])\s*$", project, re.MULTILINE | re.DOTALL)
    if not found:
        raise BootstrapError("Expected a list `test = [...]` of requirements in pyproject.toml, but found none.")
    return tuple(ast.literal_eval(found.group(1)))


def short_hash(parts: Iterable[str]) -> str:
    """Return a short hash of some texts for use in a folder name."""
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:10]
