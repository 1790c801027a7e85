"""What llama.cpp was built with, and the devices of this machine."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import llama_cpp.llama_cpp as lib

from baize_tui.engine.llama.bindings import bindings_version
from baize_tui.engine.llama.errors import EngineError
from baize_tui.engine.llama.libraries import ggml_library
from baize_tui.engine.llama.log import install_log
from baize_tui.engine.profiles import MachineProfile
from baize_tui.footprint import Device, DeviceKind
from baize_tui.translation import tr

# enum ggml_backend_dev_type of ggml-backend.h
CPU_DEVICE = 0
_DEVICE_KINDS: dict[int, DeviceKind] = {CPU_DEVICE: "cpu", 1: "gpu", 2: "igpu", 3: "accel"}

_pointer, _size, _text = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p
_sizes = ctypes.POINTER(_size)
registry = ggml_library(
    "ggml",
    {
        "ggml_backend_dev_count": (_size, []),
        "ggml_backend_dev_get": (_pointer, [_size]),
        "ggml_backend_dev_by_type": (_pointer, [ctypes.c_int]),
        "ggml_backend_dev_by_name": (_pointer, [_text]),
    },
)
"""ggml's registry of devices."""
_ggml = ggml_library(
    "ggml-base",
    {
        "ggml_backend_dev_name": (_text, [_pointer]),
        "ggml_backend_dev_description": (_text, [_pointer]),
        "ggml_backend_dev_type": (ctypes.c_int, [_pointer]),
        "ggml_backend_dev_memory": (None, [_pointer, _sizes, _sizes]),
        "ggml_backend_dev_backend_reg": (_pointer, [_pointer]),
        "ggml_backend_reg_get_proc_address": (_pointer, [_pointer, _text]),
    },
)
_backend_started = False


def start_backend() -> None:
    """Start llama.cpp, once in a process."""
    global _backend_started
    if not _backend_started:
        install_log()
        lib.llama_backend_init()
        _backend_started = True


@dataclass(frozen=True, slots=True)
class Backend:
    """Versions and features of llama.cpp, and the devices that it can compute on."""

    llama_cpp_python: str
    llama_cpp: str
    system_info: str
    gpu_offload: bool
    mmap: bool
    devices: list[Device]


def backend() -> Backend:
    """llama.cpp on this machine."""
    start_backend()
    return Backend(
        llama_cpp_python=bindings_version(),
        llama_cpp=lib.llama_version().decode(),
        system_info=lib.llama_print_system_info().decode(),
        gpu_offload=bool(lib.llama_supports_gpu_offload()),
        mmap=bool(lib.llama_supports_mmap()),
        devices=devices(),
    )


def devices() -> list[Device]:
    """The devices that llama.cpp can compute on."""
    start_backend()
    devices = []
    for at in range(registry.ggml_backend_dev_count()):
        device = registry.ggml_backend_dev_get(at)
        free, total = ctypes.c_size_t(0), ctypes.c_size_t(0)
        _ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        devices.append(
            Device(
                name=(_ggml.ggml_backend_dev_name(device) or b"").decode("utf-8", "replace"),
                description=(_ggml.ggml_backend_dev_description(device) or b"").decode(
                    "utf-8", "replace"
                ),
                kind=_DEVICE_KINDS.get(_ggml.ggml_backend_dev_type(device), "other"),
                free=free.value,
                total=total.value,
            )
        )
    return devices


def allowed_devices(profile: MachineProfile, device: str) -> Any:
    """``llama_model_params.devices``, an array that ends with NULL; None for llama.cpp's choice.

    Raises:
        EngineError: this machine has no such device.
    """
    if not profile.gpu:
        return (ctypes.c_void_p * 1)()
    if not device:
        return None
    handle = registry.ggml_backend_dev_by_name(device.encode())
    if not handle:
        raise EngineError(
            tr("llama.cpp finds no device {device} on this machine", device=repr(device))
        )
    return (ctypes.c_void_p * 2)(handle, None)


def cpu_function(name: bytes) -> int:
    """Address of a function of the CPU backend, 0 if it has no such function."""
    start_backend()
    cpu = registry.ggml_backend_dev_by_type(CPU_DEVICE)
    if not cpu:
        return 0
    registered = _ggml.ggml_backend_dev_backend_reg(cpu)
    return int(_ggml.ggml_backend_reg_get_proc_address(registered, name) or 0)
