"""The page `command-line.md`: every command and option, as the program itself tells them."""

from __future__ import annotations

from html import escape
from typing import Any

import typer.main

from descend.cli.app import app
from descend.cli.help import EXAMPLES, group_options

PAGE = "command-line.md"


def on_files(files: Any, config: Any) -> Any:
    """Add the page when the documentation is built."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=command_line_page()))
    return files


def command_line_page() -> str:
    """The page as Markdown."""
    program: Any = typer.main.get_command(app)
    top = program.make_context("descend", ["train"], resilient_parsing=True)
    parts = [
        "# Command line",
        "Made from the program itself. `descend COMMAND --help` shows the same in a terminal; with "
        "any command, `--debug` shows a traceback with an error.",
    ]
    for name, command in program.commands.items():
        context = command.make_context(name, [], parent=top, resilient_parsing=True)
        usage = " ".join(command.collect_usage_pieces(context))
        parts += [f"## descend {name}", str(command.help), f"    descend {name} {usage}"]
        examples = EXAMPLES.get(name, ())
        if examples:
            parts += ["For example:", "\n".join(f"    {example}" for example in examples)]
        for heading, records in group_options(command, context):
            lines = [f"| {_code(typed)} | {_cell(text)} |" for typed, text in records]
            parts.append("\n".join([f"| {heading.lower()} | |", "|---|---|", *lines]))
    return "\n\n".join(parts) + "\n"


def _code(typed: str) -> str:
    """An option as code; in Markdown's own code a bar within a table keeps its backslash."""
    return f"<code>{escape(' '.join(typed.split())).replace('|', '&#124;')}</code>"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
