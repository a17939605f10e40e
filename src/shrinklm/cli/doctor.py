"""`shrinklm doctor`: what is installed, what it runs on, and the line that adds what is missing."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+).*?(?:extra\s*==\s*[\"']([\w-]+)[\"'])?$")
_GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the doctor."""

    about: str
    result: str
    cure: str = ""
    """The line to type; "" where nothing is missing."""


def examine(network: bool = False) -> list[Finding]:
    """All findings. The hub is contacted only with `network`."""
    findings = [
        Finding("python", f"{sys.version.split()[0]}, {platform.platform()}"),
        *_packages(),
        *_devices(),
        *_disk(),
        *_models(),
    ]
    return [*findings, _hub()] if network else findings


def draw(findings: list[Finding]) -> None:
    """Prints the findings; what is missing stands out, with its cure below."""
    from rich.text import Text

    from .terminal import Terminal

    console = Terminal()
    width = max(len(finding.about) for finding in findings)
    for finding in findings:
        console.print(
            Text(f"{finding.about:<{width}}  {finding.result}", style="yellow" if finding.cure else ""), soft_wrap=True
        )
        if finding.cure:
            console.print(Text(" " * (width + 2) + finding.cure, style="bold"), soft_wrap=True)
    missing = sum(bool(finding.cure) for finding in findings)
    console.print(Text(f"{missing} can be added; each line to type is above." if missing else "Nothing is missing."))


def _packages() -> Iterator[Finding]:
    from .. import __version__

    yield Finding("shrinklm", __version__)
    for line in requires("shrinklm") or []:
        match = _REQUIREMENT.match(line)
        if match is None or match[2] == "dev":
            continue  # what only developers need is not missing for a user
        name, extra = match[1], match[2]
        try:
            yield Finding(name, version(name) + (f" (extra {extra})" if extra else ""))
        except PackageNotFoundError:
            yield Finding(
                name, "not installed", f'pip install "shrinklm[{extra}]"' if extra else f'pip install "{line}"'
            )


def _devices() -> Iterator[Finding]:
    import torch

    from ..models.load import bf16_supported
    from ..run.folder import processor

    yield Finding("processor", f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used")
    yield Finding("memory", _memory())
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            yield Finding(f"gpu {index}", f"{about.name}, {about.total_memory / _GIB:.0f} GiB")
    else:
        yield Finding("gpu", "none; the processor is used")
    yield Finding("bfloat16", "fast here, and used" if bf16_supported() else "not fast here; float32 is used")


def _memory() -> str:
    try:
        pages, free = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_AVPHYS_PAGES")
        size = os.sysconf("SC_PAGE_SIZE")
        return f"{pages * size / _GIB:.0f} GiB, {free * size / _GIB:.0f} GiB free"
    except (AttributeError, OSError, ValueError):
        return "not known on this system"


def _disk() -> Iterator[Finding]:
    from ..core.cache import cache_folder

    cache = cache_folder()
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file()) if cache.is_dir() else 0
    yield Finding("disk", f"{shutil.disk_usage(Path.cwd()).free / _GIB:.0f} GiB free here")
    held = "converted models, which may be deleted, and mirrors of runs and stores at URLs"
    yield Finding("cache", f"{cache}, {size / _GIB:.1f} GiB ({held}; $SHRINKLM_CACHE moves it)")


def _models() -> Iterator[Finding]:
    from ..models.locate import ENCODER, ENCODER_INSTALL, PACKAGED, locate_model, packaged_encoder

    for ref, packaged in PACKAGED.items():
        path = locate_model(ref).path
        licence = f"licence: {packaged.licence}"
        yield (
            Finding(ref, f"{path} ({licence})")
            if path
            else Finding(ref, f"not installed ({licence})", packaged.install)
        )
    installed = packaged_encoder() is not None
    yield Finding(
        ENCODER,
        "installed (licence: MIT)" if installed else "not installed (licence: MIT)",
        "" if installed else ENCODER_INSTALL,
    )


def _hub() -> Finding:
    import httpx

    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        httpx.head(address, timeout=5, follow_redirects=True).raise_for_status()
    except httpx.HTTPError as error:
        return Finding(
            "model hub",
            f"{address} cannot be reached: {error}",
            "Use a local folder, a GGUF file or a packaged model instead.",
        )
    return Finding("model hub", f"{address} answers")
