"""The output types, by the names of llama-quantize."""

from __future__ import annotations

from dataclasses import dataclass

from gguf import LlamaFileType

from baize_convert.failures import ConvertError
from baize_convert.quantization.ggml import GgmlType
from baize_convert.quantization.outtype_names import OuttypeName


@dataclass(frozen=True)
class Outtype:
    """A file type (``llama_ftype``) and the type of most of its tensors."""

    name: OuttypeName
    file_type: LlamaFileType
    default: GgmlType

    @property
    def quantized(self) -> bool:
        """Whether it is a quantized type, in which some tensors get another type."""
        return self.default not in (GgmlType.F32, GgmlType.F16, GgmlType.BF16)


_DEFAULTS: dict[OuttypeName, tuple[str, GgmlType]] = {
    "F32": ("ALL_F32", GgmlType.F32),
    "F16": ("MOSTLY_F16", GgmlType.F16),
    "BF16": ("MOSTLY_BF16", GgmlType.BF16),
    "Q8_0": ("MOSTLY_Q8_0", GgmlType.Q8_0),
    "Q6_K": ("MOSTLY_Q6_K", GgmlType.Q6_K),
    "Q5_K_M": ("MOSTLY_Q5_K_M", GgmlType.Q5_K),
    "Q5_K_S": ("MOSTLY_Q5_K_S", GgmlType.Q5_K),
    "Q4_K_M": ("MOSTLY_Q4_K_M", GgmlType.Q4_K),
    "Q4_K_S": ("MOSTLY_Q4_K_S", GgmlType.Q4_K),
    "Q4_0": ("MOSTLY_Q4_0", GgmlType.Q4_0),
    "Q4_1": ("MOSTLY_Q4_1", GgmlType.Q4_1),
    "Q5_0": ("MOSTLY_Q5_0", GgmlType.Q5_0),
    "Q5_1": ("MOSTLY_Q5_1", GgmlType.Q5_1),
    "Q3_K_M": ("MOSTLY_Q3_K_M", GgmlType.Q3_K),
    "Q2_K": ("MOSTLY_Q2_K", GgmlType.Q2_K),
    "IQ4_XS": ("MOSTLY_IQ4_XS", GgmlType.IQ4_XS),
    "IQ4_NL": ("MOSTLY_IQ4_NL", GgmlType.IQ4_NL),
}
OUTTYPES: dict[OuttypeName, Outtype] = {
    name: Outtype(name, LlamaFileType[file_type], default)
    for name, (file_type, default) in _DEFAULTS.items()
}


def parse_outtype(name: str) -> Outtype:
    """The outtype called ``name``, in upper or lower case.

    Raises:
        ConvertError: there is none; the message lists the known names.
    """
    for known, outtype in OUTTYPES.items():
        if known == name.upper():
            return outtype
    raise ConvertError(f"no outtype is called {name!r}; known: {', '.join(OUTTYPES)}")
