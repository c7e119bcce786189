"""Several runs at once, each in a folder of its own, and two copies of the pack in one ComfyUI, on real servers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from bootstrap.errors import BootstrapError
from bootstrap.prompts import Prompt
from bootstrap.runs import SERVED, log_of, run_folder
from bootstrap.server import PACK_NAME, ComfyServer

ROOT = Path(__file__).parents[1]
SECOND = "ComfyUI-REG-main"
RUN = (
    "import sys, time; sys.path.append(sys.argv[1]); from pathlib import Path; from bootstrap.runs import run_folder\n"
)
RUN += "with run_folder(Path(sys.argv[2])) as folder:\n (folder / 'output').mkdir(); print(folder, flush=True); input()"


def other_run(root: Path) -> tuple[subprocess.Popen[str], Path]:
    """A run in a process of its own, and its folder; it ends with its input."""
    command = [sys.executable, "-c", RUN, str(ROOT), str(root)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def names(root: Path) -> set[str]:
    return {path.name for path in (root / "runs").iterdir()} - {".lock"}


def test_run_removes_its_folder_and_no_other(tmp_path: Path) -> None:
    with run_folder(tmp_path) as one:
        (one / "output").mkdir()
        log_of(one).touch()
        with run_folder(tmp_path) as other:
            assert one != other
            (other / "output").mkdir()
        assert not other.exists()
        assert (one / "output").is_dir()
    assert names(tmp_path) == set()


def test_folder_of_a_killed_run_is_removed_by_the_next(tmp_path: Path) -> None:
    killed, left = other_run(tmp_path)
    alive, kept = other_run(tmp_path)
    killed.kill()
    killed.wait()
    assert (left / "output").is_dir()
    with run_folder(tmp_path):
        assert not left.exists()
        assert (kept / "output").is_dir()
        assert alive.poll() is None
    alive.communicate("\n", timeout=60)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("killed", [False, True])
def test_what_an_artist_has_saved_is_kept(tmp_path: Path, killed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    """And what the demo itself has drawn before is not."""
    with ExitStack() as stack:
        process, folder = other_run(tmp_path) if killed else (None, stack.enter_context(run_folder(tmp_path)))
        workflows = folder / "user" / "default" / "workflows"
        workflows.mkdir(parents=True)
        (folder / "output").mkdir(exist_ok=True)
        (folder / "output" / "of the demo.png").touch()
        os.utime(folder / "output" / "of the demo.png", (1, 1))
        (folder / SERVED).touch()
        (folder / "output" / "mine.png").write_text("image")
        (workflows / "mine.json").write_text("workflow")
        if process is not None:
            process.kill()
            process.wait()
    with run_folder(tmp_path):
        assert not folder.exists()
    kept = tmp_path / "kept" / folder.name
    found = {path.relative_to(kept).as_posix(): path.read_text() for path in kept.rglob("*") if path.is_file()}
    assert found == {"output/mine.png": "image", "user/default/workflows/mine.json": "workflow"}
    assert killed or str(kept) in capsys.readouterr().out


def test_what_is_linked_into_the_folder_stays(tmp_path: Path) -> None:
    pack = tmp_path / "pack"
    pack.mkdir()
    (pack / "nodes.py").touch()
    with run_folder(tmp_path) as folder:
        (folder / "custom_nodes").mkdir()
        (folder / "custom_nodes" / "pack").symlink_to(pack, target_is_directory=True)
    assert not folder.exists()
    assert (pack / "nodes.py").exists()


def test_log_of_a_failed_run_stays_until_the_next(tmp_path: Path) -> None:
    with pytest.raises(BootstrapError), run_folder(tmp_path) as folder:
        log_of(folder).write_text("why")
        raise BootstrapError("it failed")
    assert not folder.exists()
    assert log_of(folder).read_text() == "why"
    with run_folder(tmp_path):
        assert not log_of(folder).exists()


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def digits() -> Prompt:
    sampling = {"seed": 1, "steps": 2, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    links = {"model": ["model", 0], "positive": ["digits", 0], "negative": ["digits", 1], "latent_image": ["latent", 0]}
    return {
        "model": node("UNETLoader", unet_name="reg_playground_digits.safetensors", weight_dtype="default"),
        "digits": node("REG_PlaygroundConditioning", classes="38"),
        "latent": node("EmptySD3LatentImage", width=64, height=64, batch_size=2),
        "sampler": node("KSampler", **sampling, **links),
        "decode": node("REG_PlaygroundDecode", samples=["sampler", 0], size=64),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="test"),
    }


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ComfyServer, ComfyServer, ExitStack]]:
    """Two runs on one cache and the way to end the first; the second run has two copies of the pack."""
    root, front_end = tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("front_end")
    (front_end / "index.html").write_text("<!doctype html>", "utf-8")
    parts = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "benchmarks", "bootstrap")
    copy = shutil.copytree(ROOT, tmp_path_factory.mktemp("copy") / SECOND, ignore=parts)
    host = Path(os.environ["COMFYUI_PATH"])
    with ExitStack() as all_runs:
        first_run = all_runs.enter_context(ExitStack())
        started = []
        for run, packs in ((first_run, ()), (all_runs, (copy,))):
            folder = run.enter_context(run_folder(root))
            server = ComfyServer(host, folder, packs=packs, front_end_root=front_end, arguments=["--cpu"])
            run.callback(server.stop)
            server.start()
            started.append(server)
        for server in started:
            server.wait_ready()
        yield started[0], started[1], first_run


@pytest.mark.host
def test_second_copy_of_the_pack_is_named_and_offers_nothing(
    servers: tuple[ComfyServer, ComfyServer, ExitStack],
) -> None:
    alone, doubled, _ = servers
    own = {name: info for name, info in doubled.get("/object_info").items() if name.startswith("REG_")}
    assert own.keys() == {name for name in alone.get("/object_info") if name.startswith("REG_")}
    (used,) = {info["python_module"].removeprefix("custom_nodes.") for info in own.values()}
    scripts = {path.split("/")[2] for path in doubled.get("/extensions") if path.startswith("/extensions/")}
    assert scripts & {PACK_NAME, SECOND} == {used}
    lines = [line for line in doubled.log.read_text("utf-8").splitlines() if "is installed twice" in line]
    assert len(lines) == 1
    assert all(str(doubled.folder / "custom_nodes" / name) in lines[0] for name in (PACK_NAME, SECOND))
    assert "remove one of the two folders, then restart ComfyUI" in lines[0]
    assert f"Cannot import {doubled.folder}" not in doubled.log.read_text("utf-8")
    assert "is installed twice" not in alone.log.read_text("utf-8")


@pytest.mark.host
def test_end_of_one_run_leaves_the_other_at_work(servers: tuple[ComfyServer, ComfyServer, ExitStack]) -> None:
    ended, other, first_run = servers
    first_run.close()
    assert not ended.folder.exists()
    assert ended.process is None
    (entry, _) = other.run(digits())["save"]["images"]
    assert (other.folder / "output" / entry["filename"]).is_file()
