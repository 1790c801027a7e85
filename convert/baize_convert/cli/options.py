"""The options of the commands: a dataclass for each, from which typer makes its flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, get_args

import typer

from baize_convert.parity.text import DEFAULT_TOKENS
from baize_convert.quantization.outtype_names import OuttypeName
from baize_shared.typed_text import typed_file, typed_text

Base = Annotated[
    str,
    typer.Argument(
        metavar="BASE",
        help="A Hugging Face folder, a GGUF file or hf:owner/name.",
        parser=typed_file,
    ),
]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="A[=WEIGHT]",
        help="A PEFT folder, a GGUF LoRA, hf:owner/name or hf:owner/name/folder; several add up.",
        parser=typed_file,
    ),
]
OuttypeOption = Annotated[
    str,
    typer.Option(
        "--outtype", help=f"One of {', '.join(get_args(OuttypeName))}.", parser=typed_text
    ),
]
Pre = Annotated[
    str | None,
    typer.Option("--pre", help="llama.cpp's name of the BPE pre-tokenizer.", parser=typed_text),
]
Imatrix = Annotated[
    Path | None, typer.Option("--imatrix", help="An importance matrix from llama-imatrix.")
]
MaxRam = Annotated[
    str,
    typer.Option(
        "--max-ram", metavar="SIZE", help="Memory to use at most, e.g. 1G.", parser=typed_text
    ),
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Leave out keys that llama.cpp's own tools do not write.")
]
TemplateFile = Annotated[
    Path | None,
    typer.Option("--chat-template", help="A Jinja file that replaces the model's template."),
]
Stop = Annotated[
    list[str] | None,
    typer.Option("--stop", help="Text that ends an answer; may be repeated.", parser=typed_text),
]
FormatName = Annotated[
    str | None,
    typer.Option(
        "--prompt-format", help="A prompt format of baize-tui, e.g. baize.", parser=typed_text
    ),
]
KeepSource = Annotated[
    bool, typer.Option("--keep-source", help="Keep the weights of hf: names in the hub's cache.")
]
AllowTokenizerDifference = Annotated[
    bool,
    typer.Option(
        "--allow-tokenizer-difference",
        help="Write the file even if llama.cpp tokenizes otherwise than the source.",
    ),
]
AllowNan = Annotated[bool, typer.Option("--allow-nan", help="Write NaN and infinity.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The GGUF file to write.")]
AdapterArgument = Annotated[
    str,
    typer.Argument(
        metavar="ADAPTER",
        help="A PEFT folder, hf:owner/name or hf:owner/name/folder.",
        parser=typed_file,
    ),
]
AdapterBase = Annotated[str, typer.Option("--base", help="The model it is for.", parser=typed_file)]
AdapterOuttypeOption = Annotated[
    str, typer.Option("--outtype", help="f16 or f32.", parser=typed_text)
]
Result = Annotated[Path, typer.Argument(metavar="F", help="The GGUF file to verify.")]
SourceBase = Annotated[
    str, typer.Option("--base", help="The model it was made from.", parser=typed_file)
]
Tokens = Annotated[int, typer.Option(min=16, help="Tokens to predict.")]
Inspected = Annotated[
    Path, typer.Argument(help="A GGUF file, a PEFT adapter or the folder of a model.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


@dataclass(frozen=True, kw_only=True)
class PlanOptions:
    """Options of ``baize-convert plan``, which ``merge`` shares."""

    base: Base
    adapters: Adapters = None
    outtype: OuttypeOption = "Q4_K_M"
    imatrix: Imatrix = None
    pre: Pre = None
    chat_template: TemplateFile = None
    stop: Stop = None
    prompt_format: FormatName = None
    strict: Strict = False
    max_ram: MaxRam = "500M"
    json: Json = False


@dataclass(frozen=True, kw_only=True)
class MergeOptions(PlanOptions):
    """Options of ``baize-convert merge``."""

    output: Output
    keep_source: KeepSource = False
    allow_nan: AllowNan = False
    allow_tokenizer_difference: AllowTokenizerDifference = False


@dataclass(frozen=True, kw_only=True)
class AdapterOptions:
    """Options of ``baize-convert adapter``."""

    adapter: AdapterArgument
    base: AdapterBase
    output: Output
    outtype: AdapterOuttypeOption = "f16"


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """Options of ``baize-convert verify``."""

    result: Result
    base: SourceBase
    adapters: Adapters = None
    pre: Pre = None
    chat_template: TemplateFile = None
    tokens: Tokens = DEFAULT_TOKENS
    json: Json = False


@dataclass(frozen=True, kw_only=True)
class InspectOptions:
    """Options of ``baize-convert inspect``."""

    path: Inspected
    json: Json = False
