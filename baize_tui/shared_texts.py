"""What ``baize_shared`` and the libraries below it say to a person, in the person's language.

They know no language but English, and their messages are recognized by their form.
"""

from __future__ import annotations

from baize_tui.translation import msg, tr, tr_foreign

NAMED = msg("{name}: {why}")
"""What is said of a file, a server or a setting."""
_TEXTS = (
    # --- how a command ends
    msg("there is nowhere to print to: standard output is closed"),
    msg("there is too little memory"),
    msg("unexpected error: {error}"),
    msg("{what}; the traceback is in {file}"),
    msg("standard output: {why}"),
    msg(
        "the output is in {encoding}, not UTF-8: other characters are escaped (LC_ALL=C.UTF-8 "
        "helps)"
    ),
    msg("interrupted; run the same command again to continue"),
    msg("interrupted"),
    # --- files that a person writes
    msg("it is not a regular file"),
    msg("it is not a text in UTF-8"),
    msg("it is nested too deeply"),
    msg("more than {count} bytes are too many for a TOML file"),
    msg("more than {count} bytes are too many"),
    msg("a number in it has too many digits"),
    msg("{body} is the text below the fields, and cannot be one of them"),
    msg("the fields are not YAML: {why}"),
    msg("the fields are not a table with names"),
    # --- what tomllib and msgspec find in them
    msg("JSON is malformed: {why} (byte {place})"),
    msg("invalid character"),
    msg("Input data was truncated"),
    msg("{what} (at line {line}, column {column})"),
    msg("{what} (at end of document)"),
    msg("{what} - at `{place}`"),
    msg("Expected `{wanted}`, got `{got}`"),
    msg("Expected `{type}` >= {number}"),
    msg("Expected `{type}` > {number}"),
    msg("Expected `{type}` <= {number}"),
    msg("Expected `{type}` < {number}"),
    msg("Invalid enum value {value}"),
    msg("Object contains unknown field `{name}`"),
    msg("Object missing required field `{name}`"),
    msg("Invalid value"),
    msg("Invalid statement"),
    msg("Expected newline or end of document after a statement"),
    msg("Expected '=' after a key in a key/value pair"),
    msg("Cannot overwrite a value"),
    msg("Unterminated string"),
    # --- addresses and numbers
    msg("{text} is not a number"),
    msg("{address}: not a URL; write {example}"),
    msg("{address}: not the name of a model; write {example}"),
    msg("{address}: not the URL of a server; write {example}"),
    msg("{address}: the URL of a server must not have a query"),
    msg("the address of a server must not have a name or a password in it"),
    # --- what the system says most often of a file or a server
    msg("No such file or directory"),
    msg("Permission denied"),
    msg("Operation not permitted"),
    msg("Is a directory"),
    msg("Not a directory"),
    msg("File exists"),
    msg("File name too long"),
    msg("No space left on device"),
    msg("Disk quota exceeded"),
    msg("Read-only file system"),
    msg("Too many levels of symbolic links"),
    msg("Too many open files"),
    msg("Input/output error"),
    msg("Connection refused"),
    NAMED,
)


def file_error(file: object, error: OSError) -> str:
    """``config.toml: Permission denied``: what the system says of a file."""
    return tr(NAMED, name=file, why=tr_shared(error.strerror))


def tr_shared(text: object) -> str:
    """``text``, or the message of an error, in the person's language as far as it is known."""
    return tr_foreign(str(text), _TEXTS)
