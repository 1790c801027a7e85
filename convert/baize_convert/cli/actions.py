"""What each command does, from its options to printed results."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from baize_convert import PROGRAM
from baize_convert.budget import choose_budget, estimated_seconds, parse_size
from baize_convert.cli import json_results, text_results
from baize_convert.cli.downloads import Source, close_files, find_downloads
from baize_convert.cli.options import (
    AdapterOptions,
    InspectOptions,
    MergeOptions,
    PlanOptions,
    VerifyOptions,
)
from baize_convert.failures import ConvertError
from baize_convert.hub.cache import cache_weights
from baize_convert.hub.names import HUB_PREFIX, parse_name
from baize_convert.inspect import describe
from baize_convert.lora.fitting import describe_missing
from baize_convert.merge import check_output, merge
from baize_convert.opening import open_adapter, open_adapters, open_base
from baize_convert.output.adapter_file import parse_adapter_outtype, write_adapter
from baize_convert.output.chat_prompt import ChatPrompt
from baize_convert.output.output_path import check_output_path
from baize_convert.parity.check import TokenizerDiffers
from baize_convert.parity.conversations import source_template
from baize_convert.parity.source_tokenizers import open_source_tokenizer
from baize_convert.parity.tokenizers import TokenizerComparison, compare_tokenizers
from baize_convert.plan import ConversionOptions, Plan, plan_conversion
from baize_convert.quantization.outtypes import parse_outtype
from baize_convert.sources.imatrix_file import read_imatrix
from baize_convert.sources.text_files import read_text_file
from baize_convert.verify.merged_source import write_merged_source
from baize_convert.verify.predictions import compare_logits
from baize_convert.vocabulary.reading import read_source
from baize_shared.interruption import note_kept_work
from baize_shared.printing import print_json, print_line, print_message, warn_about_encoding
from baize_shared.sanitizer import clean_line
from baize_shared.shipped_models import OWN_TEMPLATE, format_files


def show_plan(options: PlanOptions) -> None:
    """Print the plan of a merge; nothing is written."""
    plan = _make_plan(options)
    budget = choose_budget(plan.layout, parse_size(options.max_ram))
    seconds = estimated_seconds(plan.layout, budget.workers)
    if options.json:
        print_json(json_results.plan_object(plan, budget, seconds))
    else:
        _print_lines(text_results.plan_lines(plan, budget, seconds))


def run_merge(options: MergeOptions) -> None:
    """Merge, quantize and print the quantization loss."""
    output, memory = options.output, parse_size(options.max_ram)
    plan = _make_plan(options)  # what cannot be converted is not downloaded
    check_output(plan, output)
    _show_downloads(plan.sources)
    if options.keep_source and options.base.startswith(HUB_PREFIX):
        with _byte_bar(options.base, json=options.json) as bar:
            cache_weights(parse_name(options.base), _resumable(bar))
        plan = _plan_again(plan, options)
    elif find_downloads(plan.adapters):
        plan = _plan_again(plan, options)
    notices: list[str] = []

    def notice(line: str) -> None:
        notices.append(line)
        print_message(PROGRAM, line)

    try:
        with _byte_bar(output.name, plan.layout.tensor_bytes, json=options.json) as bar:
            loss = merge(
                plan,
                output,
                progress=_resumable(bar),
                allow_nan=options.allow_nan,
                memory=memory,
                allow_tokenizer_difference=options.allow_tokenizer_difference,
                notice=notice,
            )
    except TokenizerDiffers as error:
        for line in text_results.difference_lines(error.comparison):
            print_message(PROGRAM, line)
        raise
    if options.json:
        print_json(json_results.merge_object(plan, output, loss, notices))
    else:
        _print_lines(text_results.merge_lines(plan, output, loss))


def _plan_again(plan: Plan, options: MergeOptions) -> Plan:
    """``plan`` with the weights on this machine that are downloaded before the merge."""
    close_files(plan.sources)
    return _plan(options, download_weights=True)


def convert_adapter(options: AdapterOptions) -> None:
    """Write an adapter as a GGUF LoRA."""
    outtype, output = parse_adapter_outtype(options.outtype), options.output
    base = open_base(options.base)
    adapter = open_adapter(options.adapter, download_weights=False)
    _show_downloads([adapter])  # only headers of the base are read
    if find_downloads([adapter]):
        check_output_path(output, [*adapter.files, *base.files], [adapter.path, base.path])
        close_files([adapter])
        adapter = open_adapter(options.adapter)
    for note in (*adapter.notes, *describe_missing(adapter, base.config)):
        print_message(PROGRAM, note)
    modules = write_adapter(base, adapter, output, outtype)
    _print_lines(text_results.adapter_lines(output, modules))


def verify(options: VerifyOptions) -> None:
    """Print how far a file is from its source.

    Raises:
        ConvertError: its tokenizer is another one.
    """
    result = options.result
    plan = _plan_verification(options, download_weights=False)
    _show_downloads(plan.sources)
    if find_downloads(plan.adapters):
        close_files(plan.sources)
        plan = _plan_verification(options, download_weights=True)
    tokenizers = _compare_tokenizers(plan, result)
    with (
        _byte_bar("source", plan.layout.tensor_bytes, json=options.json) as bar,
        write_merged_source(plan, result.parent, bar.update) as source,
    ):
        bar.close()
        with tqdm(
            total=2 * options.tokens,
            unit=" tokens",
            desc="predictions",
            disable=_bars_are_hidden(json=options.json),
        ) as token_bar:
            predictions = compare_logits(source, result, options.tokens, token_bar.update)
    if options.json:
        print_json(json_results.verification_object(tokenizers, predictions))
    else:
        _print_lines(text_results.verification_lines(tokenizers, predictions))
    if tokenizers.differences:
        raise ConvertError(
            f"{result}: its tokenizer is not that of {plan.tokenizer}: "
            f"{len(tokenizers.differences)} of {tokenizers.lines} lines differ"
        )


def _plan_verification(options: VerifyOptions, *, download_weights: bool) -> Plan:
    """Plan the float32 merge; ``download_weights`` is for adapters on the hub."""
    return plan_conversion(
        options.base,
        open_adapters(options.adapters or (), download_weights=download_weights),
        parse_outtype("F32"),
        ConversionOptions(pre=options.pre, prompt=ChatPrompt(_read_template(options))),
    )


def _compare_tokenizers(plan: Plan, result: Path) -> TokenizerComparison:
    """Compare the tokenizer of ``result`` with that of the source of ``plan``."""
    template = None
    if plan.tokenizer.is_dir():
        template = source_template(read_source(plan.tokenizer)[0], plan.chat_template)
    with open_source_tokenizer(plan.tokenizer, plan.pre) as source:
        return compare_tokenizers(source, result, template, plan.left_out)


def inspect(options: InspectOptions) -> None:
    """Print what a folder or a file is."""
    description = describe(options.path)
    if options.json:
        print_json(description)
    else:
        _print_lines(text_results.description_lines(description))


def _show_downloads(sources: Sequence[Source]) -> None:
    """Say what is about to be downloaded from the hub; nothing for local files."""
    for download in find_downloads(sources):
        print_message(PROGRAM, text_results.download_line(download))


def _make_plan(options: PlanOptions) -> Plan:
    """Plan the conversion from headers alone, and print its warnings."""
    plan = _plan(options, download_weights=False)
    for warning in plan.warnings:
        print_message(PROGRAM, warning)
    return plan


def _plan(options: PlanOptions, *, download_weights: bool) -> Plan:
    """Plan the conversion.

    ``download_weights`` is for adapters on the hub: see ``open_adapter``.
    """
    return plan_conversion(
        options.base,
        open_adapters(options.adapters or (), download_weights=download_weights),
        parse_outtype(options.outtype),
        ConversionOptions(
            imatrix=None if options.imatrix is None else read_imatrix(options.imatrix),
            pre=options.pre,
            prompt=ChatPrompt(
                _read_template(options),
                tuple(options.stop or ()),
                _format_name(options),
            ),
            strict=options.strict,
        ),
    )


def _format_name(options: PlanOptions) -> str | None:
    """The prompt format that was named; the chat would ignore one that it does not have."""
    known = [OWN_TEMPLATE, *format_files()]
    if options.prompt_format not in (None, *known):
        raise ConvertError(
            f"baize-tui has no prompt format {options.prompt_format!r}; it has {', '.join(known)}"
        )
    return options.prompt_format


def _read_template(options: PlanOptions | VerifyOptions) -> str | None:
    """The template that replaces the model's; None if none does."""
    return None if options.chat_template is None else read_text_file(options.chat_template)


def _resumable(bar: tqdm) -> Callable[[int], object]:
    """The progress of work that an interruption does not lose."""

    def update(size: int) -> None:
        note_kept_work()
        bar.update(size)

    return update


def _byte_bar(description: str, total: int | None = None, *, json: bool) -> tqdm:
    return tqdm(
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1000,
        desc=clean_line(description),
        disable=_bars_are_hidden(json=json),
    )


def _bars_are_hidden(*, json: bool) -> bool:
    return json or not sys.stderr.isatty()


def _print_lines(lines: Iterable[str]) -> None:
    warn_about_encoding(PROGRAM)
    for line in lines:
        print_line(line)
