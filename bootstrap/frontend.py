"""The newest frontend of ComfyUI, which the user interface is tested with besides the host's own."""

from pathlib import Path

from .cache import discard
from .errors import BootstrapError
from .installer import Installer

VARIABLE = "REG_FRONTEND"
PACKAGE = "comfyui-frontend-package"
VERSION = "1.58.1"
SHA256 = "37912597537a731a8f421179618a736c24184c5bdbfa327f38b2fb7c291852d9"


def fetch_frontend(root: Path, installer: Installer) -> Path:
    """Return the folder to serve of the pinned frontend, fetched if need be; raises BootstrapError if it cannot be."""
    folder = root / f"frontend-{VERSION}"
    static = Path("comfyui_frontend_package", "static")
    if folder.is_dir():
        return folder / static
    part = folder.with_name(f"{folder.name}.part")
    discard(part)
    part.mkdir(parents=True)
    wanted = part / "wanted.txt"
    wanted.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", "utf-8")
    flags = ["--no-deps", "--no-compile", "--only-binary", PACKAGE]
    command = ["install", *flags, "--target", str(part), "-r", str(wanted)]
    installer.pip(f"Installing the frontend {VERSION}", folder.name, command)
    if not (part / static / "index.html").is_file():
        raise BootstrapError(
            f"Expected the frontend {VERSION} in {part}, but it has no index.html.\nDelete that folder, then try again."
        )
    part.rename(folder)
    return folder / static
