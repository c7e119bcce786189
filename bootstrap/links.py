"""Links to node packs, so that a ComfyUI loads a folder that lies elsewhere."""

import os
import shutil
import sys
from pathlib import Path

if sys.platform == "win32":
    import _winapi

    def _link_folder(link: Path, target: Path) -> None:
        # A junction needs no privilege, a symbolic link does.
        _winapi.CreateJunction(str(target), str(link))

    def _is_link(path: Path) -> bool:
        return path.is_symlink() or bool(getattr(os.lstat(path), "st_reparse_tag", 0))

else:

    def _link_folder(link: Path, target: Path) -> None:
        link.symlink_to(target, target_is_directory=True)

    def _is_link(path: Path) -> bool:
        return path.is_symlink()


def add_link(link: Path, target: Path) -> None:
    """Make a folder (or, as a copy, a single file) appear under another path, in place of a former link there."""
    remove_link(link)
    if target.is_dir():
        _link_folder(link, target.absolute())
    else:
        shutil.copyfile(target, link)


def remove_link(link: Path) -> None:
    """Remove what add_link made and never what it points to; a real folder stays as it is."""
    if not os.path.lexists(link):
        return
    if not _is_link(link):
        if link.is_file():
            link.unlink()
        return
    if sys.platform == "win32" and link.is_dir():
        link.rmdir()
    else:
        link.unlink()
