"""The command line: commands and their options; the module of its name runs each command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baize_shared.option_types import FiniteFloat
from baize_shared.program_group import ProgramGroup
from baize_shared.typed_text import typed_text
from baize_tui import __version__
from baize_tui.cli.ask import AskOptions, ask
from baize_tui.cli.doctor import doctor
from baize_tui.cli.failures import exit_code_of
from baize_tui.cli.flags import DraftModel, GpuLayers, Json, Offline
from baize_tui.cli.models import complete_model, go_offline, models
from baize_tui.cli.output import PROGRAM
from baize_tui.cli.personas import complete_persona
from baize_tui.cli.sessions import complete_session, sessions
from baize_tui.cli.start import StartOptions, start_client
from baize_tui.serving.addresses import THIS_COMPUTER
from baize_tui.serving.order import Program
from baize_tui.serving.tokens import TOKEN_VARIABLE
from baize_tui.stop_texts import parse_stop

commands = typer.Typer(
    cls=ProgramGroup,
    name="baize-tui",
    help="Chat with a model you own, in the terminal, offline.",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
commands.add_typer(sessions, name="sessions")
commands.add_typer(models, name="models")

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="A name, a GGUF file, or server:URL[#model].",
        autocompletion=complete_model,
    ),
]
Session = Annotated[
    str | None,
    typer.Option("--session", "-s", help="A conversation's id.", autocompletion=complete_session),
]

Think = Annotated[
    bool | None,
    typer.Option(
        "--think/--no-think", help="Let the model think first, where its template has a switch."
    ),
]
MaxThinkingTokens = Annotated[
    int | None, typer.Option(min=0, help="Most tokens of the thought before the answer.")
]
ShowThinking = Annotated[
    bool | None,
    typer.Option(
        "--show-thinking/--hide-thinking",
        help="Print the thought to stderr; by default only to a terminal.",
    ),
]
PersonaName = Annotated[
    str | None,
    typer.Option(
        "--persona",
        metavar="NAME",
        help="A persona for new conversations.",
        autocompletion=complete_persona,
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@commands.callback()
def client(
    context: typer.Context,
    model: Model = None,
    session: Session = None,
    newest: Annotated[
        bool, typer.Option("--continue", "-c", help="Open the conversation used last.")
    ] = False,
    gpu_layers: GpuLayers = None,
    draft: DraftModel = None,
    persona: PersonaName = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Append lines, for screen readers and simple terminals.")
    ] = False,
    offline: Offline = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_print_version),
    ] = False,
) -> None:
    """Chat with a model you own, in the terminal, offline."""
    go_offline(offline)
    command = context.invoked_subcommand
    if command is not None:
        values = {
            "--model": model,
            "--session": session,
            "--gpu-layers": gpu_layers,
            "--draft": draft,
            "--persona": persona,
        }
        given = [option for option, value in values.items() if value is not None]
        if newest:
            given.append("--continue")
        if plain:
            given.append("--plain")
        if given:  # it would have no effect, and another model would answer
            raise typer.BadParameter(f"{given[0]} comes after the command: baize-tui {command} …")
    else:
        options = StartOptions(
            model=model,
            session=session,
            newest=newest,
            gpu_layers=gpu_layers,
            draft=draft,
            persona=persona,
            plain=plain,
        )
        raise typer.Exit(start_client(options))


@commands.command("ask")
def ask_command(
    prompt: Annotated[
        str | None,
        typer.Argument(help="The question; without it, or with '-', it is read from stdin."),
    ] = None,
    model: Model = None,
    system: Annotated[str | None, typer.Option(help="The system prompt.")] = None,
    session: Session = None,
    format: Annotated[str | None, typer.Option(help="Prompt format, e.g. baize.")] = None,
    no_save: Annotated[
        bool, typer.Option("--no-save", help="Do not save the conversation.")
    ] = False,
    json: Json = False,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1)] = None,
    temperature: Annotated[float | None, typer.Option(parser=FiniteFloat(min=0.0))] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Most tokens of the answer, without the thought.")
    ] = None,
    think: Think = None,
    max_thinking_tokens: MaxThinkingTokens = None,
    show_thinking: ShowThinking = None,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            "--adapter", metavar="A[=SCALE]", help="A LoRA over the model; may be repeated."
        ),
    ] = None,
    gpu_layers: GpuLayers = None,
    draft: DraftModel = None,
    json_object: Annotated[
        bool, typer.Option("--json-object", help="Have the model answer with JSON.")
    ] = False,
    json_schema: Annotated[
        Path | None,
        typer.Option("--json-schema", help="A JSON schema that the answer has to follow."),
    ] = None,
    regex: Annotated[
        str | None, typer.Option("--regex", help="What the answer has to match as a whole.")
    ] = None,
    grammar: Annotated[
        Path | None, typer.Option("--grammar", help="A GBNF file that the answer has to follow.")
    ] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            "--stop", metavar="TEXT", help="Ends the answer, \\n is a new line; may be repeated."
        ),
    ] = None,
    attach: Annotated[
        list[str] | None,
        typer.Option(
            "--attach",
            metavar="PATH",
            help="A file, a folder or a pattern below the question; may be repeated.",
        ),
    ] = None,
    attach_secrets: Annotated[
        bool, typer.Option("--attach-secrets", help="Also attach what looks like a secret.")
    ] = False,
    persona: PersonaName = None,
) -> None:
    """Ask one question. @path in it attaches a file; piped text is added below it."""
    options = AskOptions(
        model=model,
        system=None if system is None else typed_text(system),
        session=session,
        format=format,
        save=not no_save,
        json=json,
        seed=seed,
        temperature=temperature,
        max_tokens=max_tokens,
        think=think,
        max_thinking_tokens=max_thinking_tokens,
        show_thinking=show_thinking,
        adapters=tuple(adapter or ()),
        gpu_layers=gpu_layers,
        draft=draft,
        json_object=json_object,
        json_schema=json_schema,
        regex=regex,
        grammar=grammar,
        stop=tuple(parse_stop(text) for text in stop or ()),
        attach=tuple(attach or ()),
        attach_secrets=attach_secrets,
        persona=persona,
    )
    raise typer.Exit(ask(prompt, options))


@commands.command("doctor")
def doctor_command(json: Json = False) -> None:
    """Examine this machine: hardware, engine, files, and problems."""
    raise typer.Exit(doctor(json=json))


@commands.command("bench")
def bench_command(
    model: Model = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="One round of short texts: rough figures.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure how fast this machine answers, as ratios to llama.cpp alone."""
    from baize_tui.cli.bench import BenchOptions, bench  # no other command needs its modules

    raise typer.Exit(bench(BenchOptions(model=model, quick=quick, json=json)))


@commands.command("serve")
def serve_command(
    model: Model = None,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = THIS_COMPUTER,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help=f"A private file with the token; else {TOKEN_VARIABLE}, else a new one.",
        ),
    ] = None,
    server: Annotated[
        Program | None, typer.Option("--server", help="Which server to run, if both are installed.")
    ] = None,
    gpu_layers: GpuLayers = None,
    listen_on_network: Annotated[
        bool,
        typer.Option("--listen-on-network", help="Allow an address that other computers reach."),
    ] = False,
    json: Json = False,
) -> None:
    """Offer a model to other programs: an OpenAI-compatible endpoint."""
    from baize_tui.cli.serve import ServeOptions, serve  # no other command needs its modules

    serve(
        ServeOptions(
            model=model,
            host=host,
            port=port,
            token_file=token_file,
            server=server,
            gpu_layers=gpu_layers,
            listen_on_network=listen_on_network,
            json=json,
        )
    )


@commands.command("web")
def web_command(
    model: Model = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8000,
    json: Json = False,
) -> None:
    """Chat in a browser on this computer."""
    from baize_tui.cli.web import WebOptions, web  # no other command needs its modules

    web(WebOptions(model=model, port=port, json=json))


def run(arguments: list[str]) -> int:
    """Run the command line; the exit code."""
    return exit_code_of(lambda: commands(args=arguments, prog_name=PROGRAM))
