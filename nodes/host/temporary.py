"""Pictures in the host's temporary folder, from which a page can show them."""

from __future__ import annotations

from pathlib import Path

import folder_paths
from PIL import Image


def saved_picture(picture: Image.Image, prefix: str) -> dict[str, str]:
    """Save a picture until the host is started again, and return how the host's page names it."""
    place = folder_paths.get_save_image_path(prefix, folder_paths.get_temp_directory())
    folder, name, counter, subfolder, _ = place
    file = f"{name}_{counter:05}_.png"
    picture.save(Path(folder) / file, compress_level=1)
    return {"filename": file, "subfolder": subfolder, "type": "temp"}
