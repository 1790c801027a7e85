"""Results as objects for ``--json``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from baize_convert.budget import Budget
from baize_convert.cli.downloads import find_downloads
from baize_convert.parity.tokenizers import TokenizerComparison
from baize_convert.plan import Plan
from baize_convert.quantization.loss import QuantizationLoss
from baize_convert.verify.predictions import PredictionComparison


def plan_object(plan: Plan, budget: Budget, seconds: float) -> dict[str, Any]:
    return {
        **_describe(plan),
        "downloads": [asdict(download) for download in find_downloads(plan.sources)],
        "peak_memory_bytes": budget.peak_bytes,
        "estimated_seconds": round(seconds, 1),
    }


def merge_object(
    plan: Plan, output: Path, loss: QuantizationLoss, notices: Sequence[str]
) -> dict[str, Any]:
    ratios = {name: round(loss.ratio([name]), 4) for name in loss.added}
    described = _describe(plan)
    described["warnings"] += notices
    return {**described, "output": str(output), "survival": ratios}


def verification_object(
    tokenizers: TokenizerComparison, predictions: PredictionComparison
) -> dict[str, Any]:
    return {
        "tokenizer": {
            "lines": tokenizers.lines,
            "equal": tokenizers.equal,
            "limited": tokenizers.limited,
            "limits": [limit.value for limit in tokenizers.limits],
            "differences": [asdict(difference) for difference in tokenizers.differences],
            "template_failure": tokenizers.template_failure,
        },
        **asdict(predictions),
    }


def _describe(plan: Plan) -> dict[str, Any]:
    layout = plan.layout
    return {
        "outtype": plan.outtype.name,
        "base": str(plan.base.path),
        "base_files": [file.path.name for file in plan.base.files],
        "warnings": list(plan.warnings),
        "bytes": layout.length,
        "parameters": layout.parameters,
        "bits_per_weight": round(layout.bits_per_weight, 4),
        "tensors": [
            {
                "name": placement.tensor.name,
                "shape": list(placement.tensor.shape),
                "type": placement.choice.type.name,
                "wanted": placement.choice.wanted.name,
                "bytes": placement.bytes,
            }
            for placement in layout.tensors
        ],
    }
