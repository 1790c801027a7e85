"""Where a server of ours listens."""

from __future__ import annotations

import errno
import ipaddress
import socket

from baize_tui.serving.errors import AddressInUse
from baize_tui.shared_texts import file_error, tr_shared
from baize_tui.translation import msg, tr

THIS_COMPUTER = "127.0.0.1"


def is_this_computer(host: str) -> bool:
    """Whether only programs on this computer can reach ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


PORT_IN_USE = msg("port {port} is in use by another program: choose another one with --port")
NOT_HERE = msg("{host} is not an address of this computer: give a number such as {example}")


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; ``port`` 0 takes a free one.

    Raises:
        AddressInUse: another program has the port, or this computer has no such address.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise AddressInUse(file_error(host, error)) from error
    try:
        # A port that an earlier server has just left is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise AddressInUse(_why(host, port, error)) from error
    except TypeError as error:  # it has a character that no host's name has
        listener.close()
        raise AddressInUse(tr(NOT_HERE, host=host, example=THIS_COMPUTER)) from error
    return listener


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return tr(PORT_IN_USE, port=port)
    if error.errno == errno.EACCES:
        return tr("port {port} is for the system: choose one above 1023 with --port", port=port)
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return tr(NOT_HERE, host=host, example=THIS_COMPUTER)
    return tr("{host}, port {port}: {why}", host=host, port=port, why=tr_shared(error.strerror))


def url_of(host: str, port: int) -> str:
    """The URL of a server at this address, without a path."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
