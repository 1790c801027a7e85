"""The command line of ``baize-convert``."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from tqdm import tqdm

from baize_convert.budget import choose_budget, estimated_seconds, parse_size
from baize_convert.failures import ConvertError
from baize_convert.hub.cache import cache_weights
from baize_convert.hub.names import PREFIX, parse_name
from baize_convert.inspect import describe
from baize_convert.lora.adapter import Adapter
from baize_convert.lora.fitting import parse_adapters
from baize_convert.merge import QuantizationLoss, merge
from baize_convert.opening import open_adapter, open_base
from baize_convert.output.adapter_file import write_adapter
from baize_convert.output.chat_prompt import ChatPrompt
from baize_convert.plan import Plan, plan_conversion
from baize_convert.quantization.outtypes import OUTTYPES, parse_outtype
from baize_convert.sources.imatrix_file import read_imatrix
from baize_convert.verify.comparison import (
    DEFAULT_TOKENS,
    PredictionComparison,
    TokenizerComparison,
    compare_logits,
    compare_tokenizers,
)
from baize_convert.verify.source_tokenizers import open_source_tokenizer

FAILED, INTERRUPTED = 1, 130
DROWNS = 0.7
"""Where quantization takes more than this of what an adapter added, a larger type is worth it."""

_LARGER = {"Q6_K": "Q8_0", "Q8_0": "F16"}
"""What to take where one of the larger types does not keep enough; Q6_K or Q8_0 for all others."""

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From a Hugging Face checkpoint and PEFT adapters to a quantized GGUF, in one pass.",
)

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
OuttypeName = Annotated[str, typer.Option("--outtype", help=f"One of {', '.join(OUTTYPES)}.")]
Pre = Annotated[
    str | None, typer.Option("--pre", help="llama.cpp's name of the BPE pre-tokenizer.")
]
Imatrix = Annotated[
    Path | None, typer.Option("--imatrix", help="An importance matrix of llama-imatrix.")
]
MaxRam = Annotated[
    str, typer.Option("--max-ram", metavar="SIZE", help="Memory to take at most, e.g. 1G.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="No key that llama.cpp's own tools do not write.")
]
TemplateFile = Annotated[
    Path | None, typer.Option("--chat-template", help="A Jinja file in place of the model's own.")
]
Stop = Annotated[
    list[str] | None, typer.Option("--stop", help="Text that ends an answer; may be repeated.")
]
FormatName = Annotated[
    str | None, typer.Option("--prompt-format", help="A prompt format of baize-tui, e.g. baize.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


@app.command("plan")
def plan_command(
    base: Base,
    adapter: Adapters = None,
    outtype: OuttypeName = "Q4_K_M",
    imatrix: Imatrix = None,
    pre: Pre = None,
    chat_template: TemplateFile = None,
    stop: Stop = None,
    prompt_format: FormatName = None,
    strict: Strict = False,
    max_ram: MaxRam = "500M",
    json: Json = False,
) -> None:
    """What would be written and what it takes: bytes, types, memory, time. Reads headers only."""
    prompt = ChatPrompt(_text(chat_template), tuple(stop or ()), prompt_format)
    plan = _planned(base, adapter, outtype, imatrix, pre, prompt, strict=strict, keep=False)
    budget = choose_budget(plan.layout, parse_size(max_ram))
    seconds = estimated_seconds(plan.layout, budget.workers)
    if json:
        costs = {"peak_memory_bytes": budget.peak_bytes, "estimated_seconds": round(seconds, 1)}
        print(msgspec.json.encode({**_described(plan), **costs}).decode())
        return
    for line in _lines(plan):
        print(line)
    print(
        f"at most {budget.peak_bytes / 1e6:.0f} MB of memory, about {_duration(seconds)} on "
        f"{budget.workers} cores"
    )


@app.command("merge")
def merge_command(
    base: Base,
    output: Annotated[Path, typer.Option("--output", "-o", help="The GGUF file to write.")],
    adapter: Adapters = None,
    outtype: OuttypeName = "Q4_K_M",
    imatrix: Imatrix = None,
    pre: Pre = None,
    chat_template: TemplateFile = None,
    stop: Stop = None,
    prompt_format: FormatName = None,
    strict: Strict = False,
    max_ram: MaxRam = "500M",
    keep_source: Annotated[
        bool,
        typer.Option("--keep-source", help="Keep the weights of hf: names in the hub's cache."),
    ] = False,
    allow_nan: Annotated[bool, typer.Option("--allow-nan", help="Write NaN and infinity.")] = False,
    json: Json = False,
) -> None:
    """Merge and quantize in one pass; interrupted, the same command goes on where it was."""
    prompt = ChatPrompt(_text(chat_template), tuple(stop or ()), prompt_format)
    hidden = json or not sys.stderr.isatty()
    if keep_source and base.startswith(PREFIX):
        with tqdm(unit="B", unit_scale=True, desc=base, disable=hidden) as bar:
            cache_weights(parse_name(base), bar.update)
    plan = _planned(base, adapter, outtype, imatrix, pre, prompt, strict=strict)
    with tqdm(
        total=sum(placed.bytes for placed in plan.layout.tensors),
        unit="B",
        unit_scale=True,
        unit_divisor=1000,
        desc=output.name,
        disable=hidden,
    ) as bar:
        survival = merge(
            plan, output, progress=bar.update, allow_nan=allow_nan, memory=parse_size(max_ram)
        )
    if json:
        described = {**_described(plan), "output": str(output), "survival": _survival(survival)}
        print(msgspec.json.encode(described).decode())
        return
    size, bits = plan.layout.length / 1e6, plan.layout.bits_per_weight
    print(f"{output}: {size:.1f} MB, {bits:.2f} bits/weight")
    for line in _survival_lines(survival, plan):
        print(line)


@app.command("adapter")
def adapter_command(
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="A PEFT folder or hf:owner/name.")
    ],
    base: Annotated[str, typer.Option("--base", help="The model it is for.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The GGUF file to write.")],
    outtype: Annotated[str, typer.Option("--outtype", help="f16 or f32.")] = "f16",
) -> None:
    """An adapter as a GGUF that llama.cpp lays over the base while it runs; every scale exact."""
    count = write_adapter(open_base(base), open_adapter(adapter), output, outtype.lower())
    print(f"{output}: {count} modules, {output.stat().st_size / 1e6:.1f} MB")


@app.command("verify")
def verify_command(
    result: Annotated[Path, typer.Argument(metavar="F", help="The GGUF file to look at.")],
    base: Annotated[str, typer.Option("--base", help="The model it was made from.")],
    adapter: Adapters = None,
    pre: Pre = None,
    tokens: Annotated[int, typer.Option(min=16, help="Tokens to predict.")] = DEFAULT_TOKENS,
    json: Json = False,
) -> None:
    """Tokenizer and predictions of a file, held against the float32 merge it was made from.

    The merge is written beside F for as long as this takes: 4 bytes a parameter.
    """
    plan = plan_conversion(base, parse_adapters(adapter or []), parse_outtype("F32"), pre=pre)
    with open_source_tokenizer(plan.tokenizer) as source_tokenizer:
        parity = compare_tokenizers(source_tokenizer, result)
    hidden = json or not sys.stderr.isatty()
    try:
        beside = tempfile.TemporaryDirectory(prefix=".verify-", dir=result.parent)
    except OSError as error:
        raise ConvertError(f"{result.parent}: {error.strerror}") from error
    with beside as folder:
        source = Path(folder) / "source.gguf"
        size = sum(placed.bytes for placed in plan.layout.tensors)
        with tqdm(total=size, unit="B", unit_scale=True, desc="source", disable=hidden) as bar:
            merge(plan, source, progress=bar.update)
        with tqdm(total=2 * tokens, unit=" tokens", desc="predictions", disable=hidden) as bar:
            closeness = compare_logits(source, result, tokens, bar.update)
    if json:
        described = {
            "tokenizer": {
                "lines": parity.lines,
                "equal": parity.lines - len(parity.differences),
                "differences": [asdict(difference) for difference in parity.differences],
            },
            **asdict(closeness),
        }
        print(msgspec.json.encode(described).decode())
    else:
        for line in _verification_lines(parity, closeness):
            print(line)
    if parity.differences:
        raise ConvertError(
            f"{result}: its tokenizer is not that of {plan.tokenizer}: "
            f"{len(parity.differences)} of {parity.lines} lines differ"
        )


@app.command("inspect")
def inspect_command(
    path: Annotated[Path, typer.Argument(help="A GGUF file, a PEFT adapter or a model's folder.")],
    json: Json = False,
) -> None:
    """What a folder or a file is."""
    described = describe(path)
    if json:
        print(msgspec.json.encode(described).decode())
        return
    for name, value in described.items():
        if value not in (None, [], {}):
            print(f"{name.replace('_', ' ')}: {_harmless(_words(value))}")


def _duration(seconds: float) -> str:
    return f"{max(seconds, 1):.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _text(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise ConvertError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConvertError(f"{file}: not a text in UTF-8") from error


def _planned(
    base: str,
    adapters: list[str] | None,
    outtype: str,
    imatrix: Path | None,
    pre: str | None,
    prompt: ChatPrompt,
    *,
    strict: bool,
    keep: bool = True,
) -> Plan:
    """The conversion that the options ask for; its warnings are told."""
    plan = plan_conversion(
        base,
        parse_adapters(adapters or [], keep=keep),
        parse_outtype(outtype),
        imatrix=None if imatrix is None else read_imatrix(imatrix),
        pre=pre,
        prompt=prompt,
        strict=strict,
    )
    for warning in plan.warnings:
        print(f"baize-convert: {_harmless(warning)}", file=sys.stderr)
    return plan


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{count} {name}" for name, count in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _described(plan: Plan) -> dict[str, Any]:
    layout = plan.layout
    return {
        "outtype": plan.outtype.name,
        "warnings": list(plan.warnings),
        "bytes": layout.length,
        "parameters": layout.parameters,
        "bits_per_weight": round(layout.bits_per_weight, 4),
        "tensors": [
            {
                "name": placed.tensor.name,
                "shape": list(placed.tensor.shape),
                "type": placed.choice.type.name,
                "wanted": placed.choice.wanted.name,
                "bytes": placed.bytes,
            }
            for placed in layout.tensors
        ],
    }


def _lines(plan: Plan) -> list[str]:
    layout = plan.layout
    types = Counter(placed.choice.type.name for placed in layout.tensors)
    fallbacks = Counter(
        f"{placed.choice.wanted.name} does not fit {placed.tensor.columns} columns: "
        f"{placed.choice.type.name}"
        for placed in layout.tensors
        if placed.choice.fell_back
    )
    return [
        f"{plan.outtype.name}: {layout.length:,} bytes, {layout.bits_per_weight:.2f} bits/weight, "
        f"{layout.parameters / 1e6:.1f} M parameters",
        f"{len(layout.tensors)} tensors: " + ", ".join(f"{n} {t}" for t, n in types.most_common()),
        *(f"{count} x {what}" for what, count in fallbacks.most_common()),
        *(
            f"adapter {adapter.path}: {len(adapter.changes)} modules, weight {adapter.weight:g}, "
            f"scale {_scales(adapter)}"
            for adapter in plan.adapters
        ),
    ]


def _scales(adapter: Adapter) -> str:
    scales = sorted({change.scale for change in adapter.changes.values() if change.a is not None})
    return ", ".join(f"{scale:.4g}" for scale in scales) or "none"


def _survival(survival: QuantizationLoss) -> dict[str, float]:
    return {name: round(survival.ratio([name]), 4) for name in survival.added}


def _survival_lines(survival: QuantizationLoss, plan: Plan) -> list[str]:
    if not survival.added or not math.isfinite(survival.ratio()):
        return []
    ratio = survival.ratio()
    worst = max(survival.added, key=lambda name: survival.ratio([name]))
    lines = [
        f"quantization error over what the adapter added: {ratio:.2f} "
        f"(worst: {worst} {survival.ratio([worst]):.2f})"
    ]
    if ratio > DROWNS and plan.outtype.quantized:
        lines.append(
            "the adapter drowns in the noise of this type: try a larger one, such as "
            + _LARGER.get(plan.outtype.name, "Q6_K or Q8_0")
        )
    return lines


def _verification_lines(parity: TokenizerComparison, closeness: PredictionComparison) -> list[str]:
    lines = [f"tokenizer: {parity.lines - len(parity.differences)} of {parity.lines} lines equal"]
    if parity.differences:
        first = parity.differences[0]
        lines += [
            f"  first: {_harmless(first.line[:200])}",
            f"  source {first.source[:40]}",
            f"  result {first.result[:40]}",
        ]
    return [
        *lines,
        f"same likeliest token: {closeness.same_top:.1%} of {closeness.tokens}",
        f"KL divergence: mean {closeness.mean_kl:.5f}, highest {closeness.highest_kl:.4f}",
        f"perplexity: source {closeness.source_perplexity:.3f}, "
        f"result {closeness.result_perplexity:.3f}",
    ]


def _harmless(text: str) -> str:
    """Names in a file are text: nothing in them is a command to the terminal, nor a new line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def run(arguments: list[str]) -> int:
    """Run a command: 0 done, 1 failed with one line, 2 wrong usage, 130 interrupted."""
    try:
        app(arguments)
    except SystemExit as end:  # how typer ends every command; wrong usage is 2
        code = int(end.code or 0)
    except ConvertError as error:
        print(f"baize-convert: {_harmless(str(error))}", file=sys.stderr)
        return FAILED
    else:
        return 0
    if code == INTERRUPTED:  # typer's for Ctrl-C
        goes_on = "; the same command goes on from here" if arguments[:1] == ["merge"] else ""
        print(f"baize-convert: interrupted{goes_on}", file=sys.stderr)
    return code


def main() -> None:
    code = run(sys.argv[1:])
    if code == INTERRUPTED:
        # Not to wait for requests on their way: what is written is written, and the journal too.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
