"""The command `stablehand-dev load`."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from stablehand_dev.load.generator import InvalidLoad, Load, generate

if TYPE_CHECKING:
    from stablehand_dev.load.result import LoadResult, Second

_USUAL_DURATION = 10.0

app = typer.Typer()


@app.command()
def load(
    url: Annotated[str, typer.Argument(help="http://host[:port]/path")],
    *,
    connections: Annotated[
        int, typer.Option("--connections", "-c", help="Clients, each with one request at a time.")
    ] = 64,
    duration: Annotated[
        float | None, typer.Option("--duration", "-d", help="Seconds; 10 unless --requests bounds the run.")
    ] = None,
    requests: Annotated[int | None, typer.Option("--requests", "-n", help="Requests to send in all.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one request may take, with connecting.")] = 30.0,
    keep_alive: Annotated[bool, typer.Option(help="Use connections for more than one request.")] = True,
    header: Annotated[list[str] | None, typer.Option("--header", "-H", help="'Name: value', sent along.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    stream: Annotated[bool, typer.Option("--stream", hidden=True)] = False,
) -> None:
    """Send requests in a closed loop, retry nothing, and count every failure by its kind.

    Exit status: 0 when every request was answered with 2xx, 1 when any failed, 2 when the load itself is wrong.
    """
    console = Console(stderr=True)
    if duration is None and requests is None:
        duration = _USUAL_DURATION
    try:
        asked = Load(url, connections, duration, requests, timeout, keep_alive, _headers(header or []))
        result = asyncio.run(_streamed(asked) if stream else _shown(asked, console))
    except InvalidLoad as error:
        console.print(f"[red]invalid load:[/red] {error}", highlight=False)
        raise typer.Exit(2) from error
    except OSError as error:
        console.print(f"[red]cannot reach {url}:[/red] {error}", highlight=False)
        raise typer.Exit(2) from error
    if as_json:
        print(result.to_json())
    elif not stream:
        console.print(str(result), highlight=False)
        for example in result.examples[:5]:
            console.print(f"  at {example.at:.1f} s, {example.kind}: {example.detail}", highlight=False)
    if not stream and result.failed:
        raise typer.Exit(1)


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise InvalidLoad(f"header is {line!r}, but must be 'Name: value'")
        headers[name.strip()] = value.strip()
    return headers


async def _shown(asked: Load, console: Console) -> LoadResult:
    """Run with a progress bar on a terminal; silently elsewhere. Ctrl-C ends the run early, with its result."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("load", total=asked.duration or asked.requests)

        def report(second: Second) -> None:
            p99 = second.latencies.quantile(0.99)
            progress.update(
                task,
                advance=1 if asked.duration else second.completed + second.failed,
                description=f"{second.completed}/s" + (f", p99 {p99 * 1000:.0f} ms" if p99 else ""),
            )

        return await generate(asked, stop=stop, on_second=report)


async def _streamed(asked: Load) -> LoadResult:
    """Run for `BackgroundLoad`: a line of JSON for each second, one for the result; stop when the input ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # A terminal's Ctrl-C reaches the whole process group: the parent decides when this ends, by its end of the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def read() -> None:
        if not sys.stdin.buffer.raw.read(1):  # type: ignore[union-attr]
            loop.remove_reader(sys.stdin)
            stop.set()

    loop.add_reader(sys.stdin, read)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    result = await generate(asked, stop=stop, on_second=lambda second: _line({"second": second.to_mapping()}))
    _line({"result": result.to_mapping()})
    return result


def _line(message: dict[str, object]) -> None:
    print(json.dumps(message, separators=(",", ":")), flush=True)
