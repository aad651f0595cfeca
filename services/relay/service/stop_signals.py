"""The signals that stop a process."""

import asyncio
import signal
from collections.abc import Callable


def on_stop_signals(handler: Callable[[], object], *, terminal: bool = False) -> None:
    """Calls `handler` in the running loop at each signal to stop; with `terminal` also when that closes.
    After the end of the loop signals do nothing: the process is about to end."""
    loop = asyncio.get_running_loop()
    names = ["SIGINT", "SIGTERM", "SIGBREAK"]  # the last one is Ctrl-Break of Windows
    if terminal and hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        names.append("SIGHUP")  # not under nohup, which asks to outlive the terminal
    for name in names:
        if number := getattr(signal, name, None):
            signal.signal(number, lambda *_: loop.is_closed() or loop.call_soon_threadsafe(handler))
