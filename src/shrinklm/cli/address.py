"""Addresses to listen on."""

from __future__ import annotations

import ipaddress
import socket

from ..core.errors import ShrinkError


def url(host: str, port: int) -> str:
    """The address as a browser takes it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"  # IPv6


def loopback(host: str) -> bool:
    """Whether this machine alone can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def free(host: str, port: int, error: type[ShrinkError]) -> None:
    """Raise `error` where nothing can listen, before anything is opened."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except OSError as problem:
        why = problem.strerror or problem
        raise error(
            f"Nothing can listen on {host}, port {port}: {why}. Name another, such as --port {port + 1}"
        ) from problem
