"""The pack in real user interfaces: a real server, a real browser, both renderers; fixtures and the `Page`.

A test module says `pytestmark = pytest.mark.browser` and takes the fixture `page`, once for each frontend (the host's
own, and the one in REG_FRONTEND if there is one) and renderer.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bootstrap.browser import MISSING, find_browser
from bootstrap.errors import BootstrapError
from bootstrap.frontend import VARIABLE as FRONTEND
from bootstrap.ports import LOOPBACK
from bootstrap.server import PACK_NAME, ComfyServer

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Error, Locator

OWN_FRONTEND = "own frontend"
FRONTENDS = [OWN_FRONTEND, *filter(None, [os.environ.get(FRONTEND)])]
RENDERERS = {"classic": False, "nodes 2.0": True}
THEMES = {"dark": "dark", "light": "light"}
SETTINGS = {
    "Comfy.TutorialCompleted": True,  # else the dialog of templates opens
    "Comfy.Workflow.Persist": False,
    "Comfy.Notification.ShowVersionUpdates": False,
    "Comfy.RightSidePanel.IsOpen": False,
    "Comfy.Locale": "en",
    # Both are drawn anew in every frame, which took a tenth of a processor and more.
    "Comfy.Minimap.Visible": False,
    "Comfy.Graph.CanvasInfo": False,
}
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {LOOPBACK}",
]
OURS = re.compile(rf"/extensions/{PACK_NAME}/|\bREG\b|\bREG_|\breg\.")
READY = "() => window.app?.vueAppReady && window.app?.isGraphReady && window.app?.extensionManager?.setting"
RENEW = """async (settings) => {
  const { setting, workflow } = app.extensionManager
  for (const [name, value] of Object.entries(settings)) await setting.set(name, value)
  await app.loadGraphData({ version: 0.4, nodes: [], links: [], groups: [], extra: {} })
  const former = workflow.openWorkflows.filter((open) => open !== workflow.activeWorkflow)
  for (const open of former) await workflow.closeWorkflow(open)
  Object.assign(app.canvas.ds, { scale: 1, offset: [0, 0] })
  localStorage.clear()
  for (const key of Object.keys(sessionStorage)) if (key !== "clientId") sessionStorage.removeItem(key)
}"""
QUEUE = """async (count) => {
  const ends = ["execution_success", "execution_error", "execution_interrupted"]
  let left = count, failure = null
  const done = new Promise((resolve) => {
    const end = (event) => {
      if (event.type !== "execution_success") failure = { ...event.detail, type: event.type }
      if (--left) return
      for (const name of ends) app.api.removeEventListener(name, end)
      resolve()
    }
    for (const name of ends) app.api.addEventListener(name, end)
  })
  await app.queuePrompt(0, count)
  const refused = app.lastNodeErrors
  if (refused && Object.keys(refused).length) return { refused }
  await done
  return failure
}"""
FIT = """async (ids) => {
  const nodes = app.canvas.graph.nodes.filter((node) => !ids.length || ids.includes(String(node.id)))
  const boxes = nodes.map((node) => node.getBounding())
  const [left, top] = [0, 1].map((i) => Math.min(...boxes.map((box) => box[i])))
  const [right, foot] = [0, 1].map((i) => Math.max(...boxes.map((box) => box[i] + box[i + 2])))
  const canvas = app.canvas.canvas.getBoundingClientRect()
  const scale = Math.min(1, (canvas.width - 160) / (right - left), (canvas.height - 160) / (foot - top))
  app.canvas.ds.scale = scale
  app.canvas.ds.offset = [canvas.width / 2 / scale - (left + right) / 2, canvas.height / 2 / scale - (top + foot) / 2]
  app.canvas.setDirty(true, true)
}"""


_screenshots = Path(os.environ["REG_SCREENSHOTS"]) if os.environ.get("REG_SCREENSHOTS") else None
_drawn: list[Path] = []


def frontend_name(frontend: str) -> str:
    """The frontend in the names of tests and screenshots."""
    return frontend if frontend == OWN_FRONTEND else Path(frontend).parents[1].name


def settings(renderer: str) -> dict[str, Any]:
    """The settings of the host that a test starts with."""
    return SETTINGS | {"Comfy.VueNodes.Enabled": RENDERERS[renderer], "Comfy.ColorPalette": THEMES["dark"]}


class Page:
    """One tab of the browser with the user interface in it; `raw` is Playwright's page."""

    def __init__(self, browser: Browser, server: ComfyServer) -> None:
        self.server = server
        self.renderer = next(iter(RENDERERS))
        self.failures = 0
        self.errors: list[str] = []
        # A spinning wheel makes every frame of a run a new picture.
        self._context = browser.new_context(viewport={"width": 1600, "height": 1100}, reduced_motion="reduce")
        self._context.set_default_timeout(90_000)
        self.raw = self._context.new_page()
        self.raw.on("console", self._listen)
        self.raw.on("pageerror", self._fail)

    def open(self, renderer: str) -> None:
        """Open the user interface with an empty graph."""
        self.errors.clear()
        self.server.post("/settings", settings(renderer))
        self.raw.goto(self.server.url)
        self.raw.wait_for_function(READY)
        self.renew(renderer)

    def renew(self, renderer: str) -> None:
        """Make the open user interface what it is when it is opened, which takes seconds."""
        self.renderer = renderer
        self.evaluate(RENEW, settings(renderer))
        self.settle()

    def reload(self, stored: str) -> None:
        """What F5 does, once the host has stored this text in its draft of the workflow."""
        self.wait_until("(text) => Object.values(localStorage).some((draft) => draft.includes(text))", stored)
        self.raw.reload()
        self.raw.wait_for_function(READY)

    def close(self) -> None:
        """Close the tab and forget what the browser stored for it."""
        self._context.close()

    def evaluate(self, script: str, argument: Any = None) -> Any:
        """The value of a JavaScript function, called with the argument in the page."""
        return self.raw.evaluate(script, argument)

    def settle(self) -> None:
        """Wait until what was changed is drawn."""
        frame = "requestAnimationFrame(() => setTimeout(done, 60))"
        self.evaluate(f"() => new Promise((done) => requestAnimationFrame(() => {frame}))")

    def wait_until(self, script: str, argument: Any = None, seconds: float = 90) -> Any:
        """Wait until a JavaScript function, called with the argument in the page, gives a true value, and give it."""
        handle = self.raw.wait_for_function(script, arg=argument, timeout=1000 * seconds)
        return handle.json_value()

    def load(self, workflow: dict[str, Any], name: str = "test") -> None:
        """Open a workflow (UI format) in a tab of its own."""
        self.evaluate("([workflow, name]) => app.loadGraphData(workflow, true, true, name)", [workflow, name])
        self._wait_active(name)

    def load_prompt(self, prompt: dict[str, Any], name: str = "test") -> None:
        """Open a prompt (API format) in a tab of its own."""
        self.evaluate("([prompt, name]) => app.loadApiJson(prompt, name)", [prompt, name])
        self._wait_active(name)

    def switch_to(self, name: str) -> None:
        """Click on the tab of a workflow that is open."""
        self.raw.locator(".workflow-label").get_by_text(name, exact=True).click()
        self._wait_active(name)

    def saved(self) -> dict[str, Any]:
        """The workflow as the host would save it."""
        return json.loads(self.evaluate("() => JSON.stringify(app.rootGraph.serialize())"))

    def prompt(self) -> dict[str, Any]:
        """The prompt as the host would queue it."""
        return self.evaluate("async () => (await app.graphToPrompt()).output")

    def missing_types(self) -> list[str]:
        """The types of nodes of the open workflow that the host does not know."""
        script = "() => app.rootGraph.nodes.map((node) => node.type).filter((t) => !LiteGraph.registered_node_types[t])"
        ours = "(t) => !t.includes('-') || t.startsWith('REG')"  # a placed subgraph has a type of its own
        return self.evaluate(f"() => ({script})().filter({ours})")

    def queue(self, count: int = 1) -> None:
        """Queue the open workflow and go on."""
        self.evaluate("async (count) => { await app.queuePrompt(0, count) }", count)

    def run(self, count: int = 1) -> None:
        """Queue the open workflow and wait for its end; raises AssertionError if it is refused or fails."""
        failure = self.evaluate(QUEUE, count)
        assert failure is None, json.dumps(failure, indent=1)[:2000]
        self.settle()

    def wait_idle(self, seconds: float = 300) -> None:
        """Wait until nothing is queued."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            queue = self.server.get("/queue")
            if not queue["queue_running"] and not queue["queue_pending"]:
                self.settle()
                return
            self.raw.wait_for_timeout(100)
        raise AssertionError(f"the queue was not empty after {seconds} s")

    def use_renderer(self, renderer: str) -> None:
        """Switch the renderer of the open page."""
        self._set("Comfy.VueNodes.Enabled", RENDERERS[renderer])
        self.renderer = renderer

    def use_theme(self, theme: str) -> None:
        """Switch the colours of the open page: dark or light."""
        self._set("Comfy.ColorPalette", THEMES[theme])

    def fit(self, *ids: int | str) -> None:
        """Show these nodes, or all, at the scale 1 or as large as they fit."""
        self.evaluate(FIT, [str(node) for node in ids])
        self.settle()

    def widget(self, css_class: str) -> Locator:
        """The elements of our DOM widgets with this class, with their open shadow roots."""
        return self.raw.locator(f".{css_class}")

    def screenshot(self, name: str) -> Path:
        """Keep a picture of the page under a name."""
        global _screenshots
        if _screenshots is None:
            _screenshots = Path(tempfile.mkdtemp(prefix="reg-screenshots-"))
        _screenshots.mkdir(parents=True, exist_ok=True)
        frontend = frontend_name(str(self.server.front_end_root or OWN_FRONTEND))
        path = _screenshots / f"{name} - {frontend}, {self.renderer}.png"
        self.settle()
        self.raw.screenshot(path=path)
        _drawn.append(path)
        return path

    def _wait_active(self, name: str) -> None:
        # The host is done with a workflow some time after it has drawn it.
        self.wait_until("(name) => app.extensionManager.workflow.activeWorkflow?.filename === name", name)
        self.settle()

    def _set(self, name: str, value: Any) -> None:
        self.evaluate("([name, value]) => app.extensionManager.setting.set(name, value)", [name, value])
        self.settle()

    def _listen(self, message: ConsoleMessage) -> None:
        text = f"{message.text} ({message.location.get('url', '')})"
        if message.type in ("error", "warning") and OURS.search(text):
            self.errors.append(f"{message.type}: {text}")

    def _fail(self, error: Error) -> None:
        self.errors.append(f"uncaught: {error.stack or error.message}")


@pytest.fixture(scope="session", params=FRONTENDS, ids=frontend_name)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyServer]:
    """A server with each frontend, which all modules share."""
    host, folder = Path(os.environ["COMFYUI_PATH"]), tmp_path_factory.mktemp("site")
    root = None if request.param == OWN_FRONTEND else Path(request.param)
    with ComfyServer(host, folder, arguments=["--cpu"], front_end_root=root) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The browser, which one module shares."""
    from playwright.sync_api import sync_playwright

    try:
        program = find_browser(os.environ)
    except BootstrapError as error:
        pytest.fail(str(error))
    if program is None:
        pytest.fail(MISSING)
    # While Playwright is at work this thread counts as inside an event loop, so it ends with the module.
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def tab(site: ComfyServer, browser: Browser) -> Iterator[Page]:
    """The user interface, opened once for all tests of a module."""
    opened = Page(browser, site)
    try:
        opened.open(opened.renderer)
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module", params=RENDERERS)
def renderer(request: pytest.FixtureRequest) -> str:
    """Each renderer, for all tests of a module."""
    return request.param


@pytest.fixture
def page(request: pytest.FixtureRequest, tab: Page, renderer: str) -> Iterator[Page]:
    """The user interface with an empty graph; an error of ours in its console fails the test."""
    if request.session.testsfailed == tab.failures:
        tab.renew(renderer)
    else:  # a test that failed may leave anything behind
        tab.failures = request.session.testsfailed
        tab.open(renderer)
    yield tab
    assert tab.errors == []


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say where the screenshots are."""
    if _drawn:
        terminalreporter.write_line(f"{len(_drawn)} screenshots in {_drawn[0].parent}")
