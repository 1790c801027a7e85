"""Machine profiles: how cautiously llama.cpp is used.

llama.cpp picks kernels for the processor it finds. Some crash on some machines (its AMX kernels,
llama.cpp #20824, or a GPU driver), and a crash ends the worker process. The client then starts the
next safer profile; ``profile_cache`` remembers which one works on this machine.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from baize_tui.translation import msg

ProfileName = Literal["full", "no-extra-buffers", "no-flash-attention", "no-gpu", "one-thread"]


class MachineProfile(Struct, frozen=True):
    """What llama.cpp may use; each profile on the ladder allows one thing less than the last."""

    name: ProfileName
    extra_buffers: bool = True
    """Buffer types beside the default, such as repacked weights and AMX
    (``llama_model_params.use_extra_bufts``)."""
    flash_attention: bool = True
    gpu: bool = True
    all_threads: bool = True

    @property
    def switched_off(self) -> list[str]:
        """What this profile does without, in words for a person."""
        allowed = {
            msg("extra buffer types"): self.extra_buffers,
            msg("flash attention"): self.flash_attention,
            msg("the GPU"): self.gpu,
            msg("all threads but one"): self.all_threads,
        }
        return [what for what, is_allowed in allowed.items() if not is_allowed]


FULL = MachineProfile("full")
LADDER = (
    FULL,
    MachineProfile("no-extra-buffers", extra_buffers=False),
    MachineProfile("no-flash-attention", extra_buffers=False, flash_attention=False),
    MachineProfile("no-gpu", extra_buffers=False, flash_attention=False, gpu=False),
    MachineProfile(
        "one-thread", extra_buffers=False, flash_attention=False, gpu=False, all_threads=False
    ),
)
"""From the fastest profile to the safest."""

HIDDEN_GPUS = {
    "CUDA_VISIBLE_DEVICES": "-1",
    "HIP_VISIBLE_DEVICES": "-1",
    "GGML_VK_VISIBLE_DEVICES": "",
}
"""Environment variables that keep llama.cpp from loading a GPU driver, which can itself crash."""


def profile_named(name: ProfileName) -> MachineProfile:
    """The profile called ``name``."""
    return next(profile for profile in LADDER if profile.name == name)


def next_safer(profile: MachineProfile, *, gpu_backend: bool) -> MachineProfile | None:
    """The profile after ``profile`` on the ladder; None after the last.

    Without a GPU backend, the profile that only turns the GPU off is skipped.
    """
    for safer in LADDER[LADDER.index(profile) + 1 :]:
        if gpu_backend or safer.gpu or not safer.all_threads:
            return safer
    return None


def environment_for(profile: MachineProfile) -> dict[str, str]:
    """Variables that a worker process under ``profile`` needs."""
    return {} if profile.gpu else HIDDEN_GPUS
