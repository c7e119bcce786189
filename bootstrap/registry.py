"""What the Comfy registry asks for before a version is published: `python -m bootstrap bootstrap.registry [TAG]`."""

import re
import sys
from collections.abc import Sequence

from .errors import BootstrapError
from .host import REPOSITORY

REQUIRED = {  # entry of pyproject.toml: its table, and what a value that is no placeholder looks like
    "version": ("project", r"\d+\.\d+\.\d+"),
    "PublisherId": ("tool.comfy", r"(?!.*(?:your|example|placeholder|publisher))[A-Za-z0-9][A-Za-z0-9._-]*"),
    "Repository": ("project.urls", r"https://(?!.*(?:your|example|placeholder|username))[^\s/]+/[^\s/]+/[^\s/]+"),
}


def entry(project: str, table: str, name: str) -> str:
    """The text of an entry in a table of a pyproject.toml; empty if it is not there."""
    # The standard library reads TOML only from Python 3.11 on.
    found = re.search(rf"^\[{re.escape(table)}\]\s*$(.*?)(?=^\[|\Z)", project, re.MULTILINE | re.DOTALL)
    value = re.search(rf'^{name}\s*=\s*"([^"]*)"', found.group(1), re.MULTILINE) if found else None
    return value.group(1) if value else ""


def require_publishable(project: str, changelog: str, tag: str = "") -> str:
    """The version to publish; raises BootstrapError if an entry is missing or a placeholder, or has no changes."""
    for name, (table, form) in REQUIRED.items():
        value = entry(project, table, name)
        if not re.fullmatch(form, value, re.IGNORECASE):
            raise BootstrapError(
                f"Expected {name} in [{table}] of pyproject.toml for the registry, but got '{value}'.\n"
                "Nothing was published: fill it in, then run this again."
            )
    version = entry(project, "project", "version")
    if tag and tag != version:
        raise BootstrapError(
            f"Expected the tag of version {version}, but got '{tag}'.\n"
            "Nothing was published: set the version in pyproject.toml to the tag, or tag the right commit."
        )
    if not re.search(rf"^## {re.escape(version)}\b", changelog, re.MULTILINE):
        raise BootstrapError(
            f"Expected a section '## {version}' in CHANGELOG.md, but it has none.\n"
            "Nothing was published: write what is new in this version, then run this again."
        )
    return version


def main(arguments: Sequence[str]) -> int:
    """Say that this version may be published; raises BootstrapError if it may not."""
    project, changelog = ((REPOSITORY / name).read_text("utf-8") for name in ("pyproject.toml", "CHANGELOG.md"))
    print(f"Version {require_publishable(project, changelog, *arguments[:1])} may be published.")
    return 0


if __name__ == "__main__":
    main(sys.argv[1:])
