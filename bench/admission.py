"""How long a cluster waits for the rules at its door (bar: p99 at most 25 ms at 16 concurrent reviews over TLS).

    chrt -i 0 python bench/admission.py [--reviews 8000] [--concurrent 16]

Starts ``croupier admission run`` as a process, with every rule of the catalogue that one object can be asked (those by
what people decide, too: registries, labels, priority classes), and sends it the reviews of tests/data/admission in turn
over kept connections, as an API server does. Client and server share the machine. Prints percentiles of the time from
the first byte sent to the last one read, and what the server took of the processor and of memory. Exit 1 where the bar
is not met.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR_MILLISECONDS = 25.0
"""Of p99."""
DECIDED = (
    "--profile",
    "all",
    "--registry",
    "registry.example",
    "--require-label",
    "owner",
    "--priority-class",
    "money",
)
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.authority import Authority  # noqa: E402


async def ask(address: tuple[str, int], trusted: ssl.SSLContext, requests: list[bytes], took: list[float]) -> None:
    """All ``requests``, one after another, over one connection. A client of as little weight as possible."""
    reader, writer = await asyncio.open_connection(*address, ssl=trusted, server_hostname="localhost")
    for request in requests:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise SystemExit(f"unexpected answer: {head!r}")
        await reader.readexactly(int(length[1]))
        took.append(time.perf_counter() - began)
    writer.close()
    await writer.wait_closed()


def request_of(file: Path) -> bytes:
    body = json.dumps(json.loads(file.read_text())).encode()
    head = (
        f"POST /validate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    return f"{head}\r\n\r\n".encode() + body


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def run(
    pid: int, port: int, authority: Authority, reviews: int, concurrent: int
) -> tuple[list[float], float, float]:
    """(seconds of each review, seconds in all, CPU seconds of the server), once it is warm."""
    sent = [request_of(file) for file in sorted((ROOT / "tests" / "data" / "admission").glob("*.json"))]
    each = reviews // concurrent
    took: list[float] = []
    trusted, address = authority.trusted(), ("127.0.0.1", port)
    await ask(address, trusted, (sent * 20)[:200], [])
    began, used = time.perf_counter(), cpu_seconds(pid)
    async with asyncio.TaskGroup() as group:
        for number in range(concurrent):
            mine = [sent[(number + turn) % len(sent)] for turn in range(each)]
            group.create_task(ask(address, trusted, mine, took))
    return took, time.perf_counter() - began, cpu_seconds(pid) - used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=8000)
    parser.add_argument("--concurrent", type=int, default=16)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="admission-") as folder:
        place, authority = Path(folder), Authority()
        authority.write(place)
        words = ["--mode", "enforce", "--cert", str(place / "tls.crt"), "--key", str(place / "tls.key")]
        argv = [sys.executable, "-m", "croupier.cli", "admission", "run", *words]
        argv += [*DECIDED, "--host", "127.0.0.1", "--port", "0", "--about-port", "0"]
        with (place / "log").open("wb") as log:
            server = subprocess.Popen(argv, stderr=log)
        try:
            while not (found := re.search(r'"port": (\d+)', (place / "log").read_text())):
                if server.poll() is not None:
                    raise SystemExit((place / "log").read_text())
                time.sleep(0.05)
            ran = asyncio.run(run(server.pid, int(found[1]), authority, asked.reviews, asked.concurrent))
            status = Path(f"/proc/{server.pid}/status").read_text()
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)
    took, seconds, cpu = ran
    took.sort()
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    print(f"{len(took)} reviews, {asked.concurrent} at a time over TLS, every rule on one object; ", end="")
    print(f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    for share in (0.5, 0.9, 0.99, 0.999):
        print(f"  p{100 * share:g}: {1000 * took[int(share * (len(took) - 1))]:.1f} ms")
    print(f"  {len(took) / seconds:.0f} reviews/s; server {1000 * cpu / len(took):.2f} CPU ms a review, ", end="")
    print(f"peak {int(peak[1]) / 1024:.0f} MiB" if peak else "")
    worst = 1000 * took[int(0.99 * (len(took) - 1))]
    print(f"  bar: p99 at most {BAR_MILLISECONDS:g} ms: {'met' if worst <= BAR_MILLISECONDS else 'missed'}")
    raise SystemExit(worst > BAR_MILLISECONDS)


if __name__ == "__main__":
    main()
