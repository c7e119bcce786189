"""The catalogue of messages: every text that the nodes raise or tell is in it, whole, used, and listed in the docs."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from bootstrap.messages import PAGE, page
from reg_pack.nodes import messages as catalogue

pytestmark = pytest.mark.host
NODES = Path(__file__).parents[1] / "nodes"
SOURCES = {
    path.relative_to(NODES).as_posix(): ast.parse(path.read_text("utf-8"))
    for path in sorted(NODES.rglob("*.py"))
    if NODES / "messages" not in path.parents
}
SPEAKERS = {"tell", "warn", "_warn", "give_up", "log_warning", "warning", "info", "GradientUnavailable"}
"""What takes a text for the artist, besides the classes of errors."""
KEPT = {"missing", "reason"}
"""Attributes whose texts are told later."""


def called(call: ast.Call) -> str:
    """The last name of what is called."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    return (call for call in ast.walk(tree) if isinstance(call, ast.Call) and called(call) == name)


def constants(expression: ast.expr) -> list[str]:
    """The names that an argument may be: one, or either of two."""
    ends = [expression.body, expression.orelse] if isinstance(expression, ast.IfExp) else [expression]
    return [end.value for end in ends if isinstance(end, ast.Constant) and isinstance(end.value, str)]


def written(expression: ast.AST) -> Iterator[str]:
    """The words written into an expression, but for those of its messages."""
    if isinstance(expression, ast.Call) and called(expression) == "message":
        return
    if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
        yield from [expression.value] if any(map(str.isalpha, expression.value)) else []
    for part in ast.iter_child_nodes(expression):
        yield from written(part)


def spoken(function: ast.AST) -> Iterator[ast.expr]:
    """The texts that a function raises, tells or keeps to be told."""
    for part in ast.walk(function):
        if isinstance(part, ast.Call) and (called(part) in SPEAKERS or called(part).endswith("Error")):
            yield from part.args[:1]
        if isinstance(part, ast.Assign) and any(isinstance(t, ast.Attribute) and t.attr in KEPT for t in part.targets):
            yield part.value
        if isinstance(part, ast.Return) and getattr(function, "name", "") == "validate_inputs" and part.value:
            yield part.value


def uncatalogued(tree: ast.AST) -> list[str]:
    """The words of texts that are written where they are raised or told, also by way of a variable."""
    found = []
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        values: dict[str, list[ast.expr]] = {}
        for part in ast.walk(function):
            for target in part.targets if isinstance(part, ast.Assign) else ():
                if isinstance(target, ast.Name):
                    values.setdefault(target.id, []).append(part.value)
        for text in spoken(function):
            variables = values.get(text.id, []) if isinstance(text, ast.Name) else []
            found += [word for expression in (text, *variables) for word in written(expression)]
    return found


@pytest.mark.parametrize("source", SOURCES)
def test_every_text_is_in_the_catalogue(source: str) -> None:
    assert uncatalogued(SOURCES[source]) == []


@pytest.mark.parametrize(
    "line",
    [
        'raise ValueError("too many")',
        'raise ValueError(f"{count} are too many")',
        'raise ValueError(f"{count}" + " too many") from None',
        'tell(f"{count} are too many", self.node_id)',
        'self.record.warn("too many")',
        'raise GradientUnavailable("too many")',
        'text = "too many"; tell(text, None)',
        'self.trace.missing = "too many"',
    ],
)
def test_text_outside_the_catalogue_is_found(line: str) -> None:
    assert "too many" in "".join(uncatalogued(ast.parse(f"def run(self, count):\n    {line}")))


@pytest.mark.parametrize(
    "line",
    [
        'raise ValueError(message("axis-empty", axis="columns", none="none"))',
        "raise ValueError(str(error)) from None",
        'text = message("weak-not-used"); tell(text, None)',
        'tell("\\n".join([told, *warnings]), None)',
    ],
)
def test_text_of_the_catalogue_is_let_pass(line: str) -> None:
    assert uncatalogued(ast.parse(f"def run(told, warnings, error):\n    {line}")) == []


def values(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("source", SOURCES)
def test_messages_are_given_what_they_say(source: str) -> None:
    """Each name is in the catalogue, and the values are those that its text fills in."""
    for call in calls(SOURCES[source], "message"):
        names, given = constants(call.args[0]), {keyword.arg for keyword in call.keywords}
        assert names and len(call.args) == 1, f"line {call.lineno}: the name is not written out"
        for name in names:
            assert name in catalogue.MESSAGES, f"line {call.lineno}: {name}"
            assert values(catalogue.MESSAGES[name].text) == given, f"line {call.lineno}: {name}"


def used(function: str) -> list[str]:
    """The names that the nodes write as the first argument of a function."""
    return [name for tree in SOURCES.values() for call in calls(tree, function) for name in constants(call.args[0])]


def test_every_message_is_used() -> None:
    assert set(used("message")) == set(catalogue.MESSAGES)


def test_every_part_that_may_fail_is_named() -> None:
    assert set(used("harmless")) == set(catalogue.PARTS)


def test_no_two_topics_have_a_message_of_one_name() -> None:
    assert len(catalogue.MESSAGES) == sum(map(len, catalogue.TOPICS.values()))


@pytest.mark.parametrize("name", catalogue.MESSAGES)
def test_message_is_whole(name: str) -> None:
    """Sentences, and a word on what to do; a reason that is filled in at the end is a sentence itself."""
    text, cause, remedy, line = catalogue.MESSAGES[name]
    assert text.endswith((".", "?", "{reason}")) and cause.endswith(".") and remedy.endswith(".")
    assert len(text) < 400
    assert values(line) <= values(text)


TOLD = sorted(
    {
        name
        for tree in SOURCES.values()
        for speaker in SPEAKERS
        for call in calls(tree, speaker)
        for part in call.args[:1]
        for inner in calls(part, "message")
        for name in constants(inner.args[0])
    }
)


@pytest.mark.parametrize("name", sorted({*TOLD, *(name for name, entry in catalogue.MESSAGES.items() if entry.line)}))
def test_line_of_a_message_is_short(name: str) -> None:
    """A node shows it whole, whatever its width."""
    text, _, _, line = catalogue.MESSAGES[name]
    assert len(line or text) <= 64 and (line or text).endswith(".")


def test_page_of_the_docs_is_what_the_catalogue_says() -> None:
    assert PAGE.read_text("utf-8") == page(catalogue), "run `python run.py locales`"
