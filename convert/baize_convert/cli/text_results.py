"""Results as lines for a person."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec

from baize_convert.budget import Budget
from baize_convert.cli.downloads import Download, find_downloads
from baize_convert.inspect import Description
from baize_convert.lora.adapter import Adapter
from baize_convert.parity.tokenizers import TokenizerComparison
from baize_convert.plan import Plan
from baize_convert.quantization.loss import QuantizationLoss
from baize_convert.verify.predictions import PredictionComparison
from baize_shared.licenses import UNKNOWN_LICENSE
from baize_shared.progress import duration_text
from baize_shared.sanitizer import clean_line
from baize_shared.sizes import size_text

_LONGEST_VALUE = 1000
_SHOWN_IDS = 40
"""Of a text that is tokenized otherwise."""


def plan_lines(plan: Plan, budget: Budget, seconds: float) -> Iterator[str]:
    layout = plan.layout
    yield (
        f"{plan.outtype.name}: {layout.length:,} bytes, {layout.bits_per_weight:.2f} bits/weight, "
        f"{layout.parameters / 1e6:.1f} M parameters"
    )
    types = Counter(placement.choice.type.name for placement in layout.tensors)
    yield f"{len(layout.tensors)} tensors: " + ", ".join(
        f"{count} {type}" for type, count in types.most_common()
    )
    fallbacks = Counter(
        f"{placement.choice.wanted.name} does not fit {placement.tensor.columns} columns: "
        f"{placement.choice.type.name}"
        for placement in layout.tensors
        if placement.choice.fell_back
    )
    for fallback, count in fallbacks.most_common():
        yield f"{count} x {fallback}"
    yield f"base {plan.base.path}: {_base_files(plan)}"
    for adapter in plan.adapters:
        yield (
            f"adapter {adapter.path}: {len(adapter.changes)} modules, weight {adapter.weight:g}, "
            f"scale {_scales(adapter)}"
        )
    yield from map(download_line, find_downloads(plan.sources))
    yield (
        f"at most {size_text(budget.peak_bytes)} of memory, about "
        f"{duration_text(max(seconds, 1))} on {budget.workers} cores"
    )


def download_line(download: Download) -> str:
    license = download.license or UNKNOWN_LICENSE
    return f"{download.source}: {size_text(download.bytes)} to download; licence: {license}"


def _base_files(plan: Plan) -> str:
    names = [file.path.name for file in plan.base.files]
    return names[0] if len(names) == 1 else f"{len(names)} files, {names[0]} to {names[-1]}"


def merge_lines(plan: Plan, output: Path, loss: QuantizationLoss) -> Iterator[str]:
    size, bits = size_text(plan.layout.length), plan.layout.bits_per_weight
    yield f"{output}: {size}, {bits:.2f} bits/weight"
    ratio = loss.ratio()
    if not loss.added or not math.isfinite(ratio):
        return
    worst = loss.worst()
    yield (
        f"quantization error over what the adapter added: {ratio:.2f} "
        f"(worst: {worst} {loss.ratio([worst]):.2f})"
    )


def adapter_lines(output: Path, modules: int) -> Iterator[str]:
    yield f"{output}: {modules} modules, {size_text(output.stat().st_size)}"


def verification_lines(
    tokenizers: TokenizerComparison, predictions: PredictionComparison
) -> Iterator[str]:
    yield f"tokenizer: {tokenizers.equal} of {tokenizers.lines} texts equal"
    for notice in tokenizers.notices:
        yield f"  {notice}"
    yield from difference_lines(tokenizers)
    yield f"same most likely token: {predictions.same_top:.1%} of {predictions.tokens}"
    yield f"KL divergence: mean {predictions.mean_kl:.5f}, highest {predictions.highest_kl:.4f}"
    yield (
        f"perplexity: source {predictions.source_perplexity:.3f}, "
        f"result {predictions.result_perplexity:.3f}"
    )


def difference_lines(tokenizers: TokenizerComparison) -> Iterator[str]:
    """The first text with other tokens; none if there is none."""
    if not tokenizers.differences:
        return
    first = tokenizers.differences[0]
    at = next(
        (
            at
            for at, (ours, theirs) in enumerate(zip(first.source, first.result, strict=False))
            if ours != theirs
        ),
        min(len(first.source), len(first.result)),
    )
    begin = max(at - 5, 0)
    # Of several spaces, a terminal's line keeps one.
    shown = repr(first.line).replace("  ", r" \x20")
    yield f"  first: {clean_line(shown, 300)}, from id {begin}"
    yield f"  source {first.source[begin : begin + _SHOWN_IDS]}"
    yield f"  result {first.result[begin : begin + _SHOWN_IDS]}"


def description_lines(description: Description) -> Iterator[str]:
    """``name: value`` for everything that is known; values come from files."""
    for name, value in msgspec.structs.asdict(description).items():
        if value not in (None, [], {}):
            yield f"{name.replace('_', ' ')}: {clean_line(_words(value), _LONGEST_VALUE)}"


def _words(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{count} {name}" for name, count in value.items())
        case list():
            return ", ".join(map(str, value))
    return str(value)


def _scales(adapter: Adapter) -> str:
    return ", ".join(f"{scale:.4g}" for scale in adapter.scales) or "none"
