"""The commands: each declares its options and calls one function of ``actions``.

The functions are imported when a command runs, so that ``--help`` does not wait for numpy and gguf.
"""

from __future__ import annotations

import typer

from baize_convert.cli import options
from baize_convert.verify.text import DEFAULT_TOKENS

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From a Hugging Face checkpoint and PEFT adapters to a quantized GGUF, in one pass.",
)


@app.command("plan")
def plan_command(
    base: options.Base,
    adapter: options.Adapters = None,
    outtype: options.Outtype = options.DEFAULT_OUTTYPE,
    imatrix: options.Imatrix = None,
    pre: options.Pre = None,
    chat_template: options.TemplateFile = None,
    stop: options.Stop = None,
    prompt_format: options.FormatName = None,
    strict: options.Strict = False,
    max_ram: options.MaxRam = options.DEFAULT_MAX_RAM,
    json: options.Json = False,
) -> None:
    """Show what a merge would write and take: bytes, types, memory, time. Reads headers only."""
    from baize_convert.cli.actions import show_plan

    show_plan(
        options.ConversionArguments(
            base=base,
            adapters=tuple(adapter or ()),
            outtype=outtype,
            imatrix=imatrix,
            pre=pre,
            chat_template=chat_template,
            stop=tuple(stop or ()),
            prompt_format=prompt_format,
            strict=strict,
            max_ram=max_ram,
            json=json,
        )
    )


@app.command("merge")
def merge_command(
    base: options.Base,
    output: options.Output,
    adapter: options.Adapters = None,
    outtype: options.Outtype = options.DEFAULT_OUTTYPE,
    imatrix: options.Imatrix = None,
    pre: options.Pre = None,
    chat_template: options.TemplateFile = None,
    stop: options.Stop = None,
    prompt_format: options.FormatName = None,
    strict: options.Strict = False,
    max_ram: options.MaxRam = options.DEFAULT_MAX_RAM,
    keep_source: options.KeepSource = False,
    allow_nan: options.AllowNan = False,
    json: options.Json = False,
) -> None:
    """Merge and quantize in one pass; after an interruption the same command resumes."""
    from baize_convert.cli.actions import run_merge

    conversion = options.ConversionArguments(
        base=base,
        adapters=tuple(adapter or ()),
        outtype=outtype,
        imatrix=imatrix,
        pre=pre,
        chat_template=chat_template,
        stop=tuple(stop or ()),
        prompt_format=prompt_format,
        strict=strict,
        max_ram=max_ram,
        json=json,
    )
    run_merge(options.MergeArguments(conversion, output, keep_source, allow_nan))


@app.command("adapter")
def adapter_command(
    adapter: options.AdapterArgument,
    base: options.AdapterBase,
    output: options.Output,
    outtype: options.AdapterOuttype = options.DEFAULT_ADAPTER_OUTTYPE,
) -> None:
    """Convert an adapter to a GGUF LoRA, which llama.cpp applies to the base at run time."""
    from baize_convert.cli.actions import convert_adapter

    convert_adapter(options.AdapterArguments(adapter, base, output, outtype))


@app.command("verify")
def verify_command(
    result: options.Result,
    base: options.SourceBase,
    adapter: options.Adapters = None,
    pre: options.Pre = None,
    tokens: options.Tokens = DEFAULT_TOKENS,
    json: options.Json = False,
) -> None:
    """Compare a file's tokenizer and predictions with the float32 merge it was made from.

    The merge is written beside F and removed at the end: 4 bytes a parameter.
    """
    from baize_convert.cli.actions import verify

    verify(options.VerifyArguments(result, base, tuple(adapter or ()), pre, tokens, json))


@app.command("inspect")
def inspect_command(path: options.Inspected, json: options.Json = False) -> None:
    """Describe a folder or a file."""
    from baize_convert.cli.actions import inspect

    inspect(path, json=json)
