"""Faster kernels for NVIDIA GPUs, where they are installed."""

from __future__ import annotations

from importlib.util import find_spec

from msgspec import Struct

from baize_train.errors import TrainError


class Kernels(Struct, frozen=True):
    """Which of them a run uses."""

    flash_attention: bool = False
    """Attention that keeps no scores; transformers' ``flash_attention_2``."""
    liger: bool = False
    """Norms, RoPE and SwiGLU in one kernel each."""

    def require_installed(self) -> None:
        """Check that their packages are installed.

        Raises:
            TrainError: one is not; the message says what to install.
        """
        wanted = (
            (self.flash_attention, "--flash-attention", "flash_attn", "flash-attn"),
            (self.liger, "--liger", "liger_kernel", "liger-kernel"),
        )
        for used, option, module, package in wanted:
            if used and find_spec(module) is None:
                raise TrainError(f"{option} needs {package}: pip install {package}")

    def require_gpu(self, device: str) -> None:
        """Check that they run on ``device``.

        Raises:
            TrainError: they need an NVIDIA GPU.
        """
        if device == "cuda":
            return
        for used, option in ((self.flash_attention, "--flash-attention"), (self.liger, "--liger")):
            if used:
                raise TrainError(f"{option} needs an NVIDIA GPU, and PyTorch finds none here")


NO_KERNELS = Kernels()
