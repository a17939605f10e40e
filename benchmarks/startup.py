"""How long the first words take: `import shrinklm` and `shrinklm --help`, best of three in new processes. The limit is
half a second.

python benchmarks/startup.py
"""

from __future__ import annotations

import subprocess
import sys
import time

LIMIT = 0.5
CASES = {"import shrinklm": ["-c", "import shrinklm"], "shrinklm --help": ["-m", "shrinklm", "--help"]}


def seconds(arguments: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    slow = []
    for name, arguments in CASES.items():
        best = min(seconds(arguments) for _ in range(3))
        print(f"{name}: {best:.2f} s")
        if best >= LIMIT:
            slow.append(name)
    if slow:
        sys.exit(f"slower than {LIMIT} s: {', '.join(slow)}")


if __name__ == "__main__":
    main()
