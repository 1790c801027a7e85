"""The command line of ``baize-convert``: commands, their options, and how results are printed."""

from __future__ import annotations

from baize_shared.program_start import prepare_process


def main() -> None:
    """Run the program and exit; the entry point of the console script."""
    prepare_process("baize-convert")
    # Imported here, so that importing a module of this package does not import typer.
    from baize_convert.cli.program import main as run_and_exit

    run_and_exit()
