"""The options of the commands: how each is declared, and the dataclasses they are passed on in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import typer

from baize_convert.quantization.outtype_names import OuttypeName
from baize_convert.verify.text import DEFAULT_TOKENS

Base = Annotated[
    str, typer.Argument(metavar="BASE", help="A Hugging Face folder, a GGUF file or hf:owner/name.")
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="A[=WEIGHT]",
        help="A PEFT folder, a GGUF LoRA or hf:owner/name; several add up.",
    ),
]
Outtype = Annotated[
    str, typer.Option("--outtype", help=f"One of {', '.join(get_args(OuttypeName))}.")
]
Pre = Annotated[
    str | None, typer.Option("--pre", help="llama.cpp's name of the BPE pre-tokenizer.")
]
Imatrix = Annotated[
    Path | None, typer.Option("--imatrix", help="An importance matrix from llama-imatrix.")
]
MaxRam = Annotated[
    str, typer.Option("--max-ram", metavar="SIZE", help="Memory to use at most, e.g. 1G.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Leave out keys that llama.cpp's own tools do not write.")
]
TemplateFile = Annotated[
    Path | None,
    typer.Option("--chat-template", help="A Jinja file that replaces the model's template."),
]
Stop = Annotated[
    list[str] | None, typer.Option("--stop", help="Text that ends an answer; may be repeated.")
]
FormatName = Annotated[
    str | None, typer.Option("--prompt-format", help="A prompt format of baize-tui, e.g. baize.")
]
KeepSource = Annotated[
    bool, typer.Option("--keep-source", help="Keep the weights of hf: names in the hub's cache.")
]
AllowNan = Annotated[bool, typer.Option("--allow-nan", help="Write NaN and infinity.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The GGUF file to write.")]
AdapterArgument = Annotated[
    str, typer.Argument(metavar="ADAPTER", help="A PEFT folder or hf:owner/name.")
]
AdapterBase = Annotated[str, typer.Option("--base", help="The model it is for.")]
AdapterOuttype = Annotated[str, typer.Option("--outtype", help="f16 or f32.")]
Result = Annotated[Path, typer.Argument(metavar="F", help="The GGUF file to verify.")]
SourceBase = Annotated[str, typer.Option("--base", help="The model it was made from.")]
Tokens = Annotated[int, typer.Option(min=16, help="Tokens to predict.")]
Inspected = Annotated[
    Path, typer.Argument(help="A GGUF file, a PEFT adapter or the folder of a model.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]

DEFAULT_OUTTYPE, DEFAULT_MAX_RAM, DEFAULT_ADAPTER_OUTTYPE = "Q4_K_M", "500M", "f16"


@dataclass(frozen=True)
class ConversionArguments:
    """What ``plan`` and ``merge`` have in common, as it was typed."""

    base: str
    adapters: tuple[str, ...] = ()
    outtype: str = DEFAULT_OUTTYPE
    imatrix: Path | None = None
    pre: str | None = None
    chat_template: Path | None = None
    stop: tuple[str, ...] = ()
    prompt_format: str | None = None
    strict: bool = False
    max_ram: str = DEFAULT_MAX_RAM
    json: bool = False


@dataclass(frozen=True)
class MergeArguments:
    """The arguments of ``merge``."""

    conversion: ConversionArguments
    output: Path
    keep_source: bool = False
    allow_nan: bool = False


@dataclass(frozen=True)
class AdapterArguments:
    """The arguments of ``adapter``."""

    adapter: str
    base: str
    output: Path
    outtype: str = DEFAULT_ADAPTER_OUTTYPE


@dataclass(frozen=True)
class VerifyArguments:
    """The arguments of ``verify``."""

    result: Path
    base: str
    adapters: tuple[str, ...] = ()
    pre: str | None = None
    tokens: int = DEFAULT_TOKENS
    json: bool = False
