"""The module's program: `run.sh <socket path | host:port>`, or `run.sh --once --url=…`."""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import logging
import os
import signal
import stat
import sys
import threading

STOP_GRACE = 5.0  # seconds for calls under way; a machine kills a module that takes long
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

log = logging.getLogger("python-sensor")


def main(argv: list[str]) -> int:
    options = parse_args(argv)
    # A level this program does not know is no reason not to run.
    logging.basicConfig(
        stream=sys.stderr,
        level=LEVELS.get(options.log_level.lower(), logging.INFO),
        format="%(asctime)s %(levelname)s %(message)s",
    )
    if fault := wrong_python(os.environ.get("MODULE_PYTHON", "")):
        print(f"python-sensor: {fault}", file=sys.stderr)
        return 1
    return read_once(options.url) if options.once else serve(options.address, options.tcp_mode)


def parse_args(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python-sensor")
    parser.add_argument("address", nargs="?", help="socket path or host:port to serve on")
    parser.add_argument("--log-level", default="info", help="debug, info, warn or error")
    parser.add_argument("--tcp-mode", action="store_true", help="the address is host:port")
    parser.add_argument("--once", action="store_true", help="print one reading and end")
    parser.add_argument("--url", default="", help="the source, with --once")
    options = parser.parse_args(argv)
    if not options.once and not options.address:
        parser.error("the first argument is missing: the socket path or host:port to serve on")
    return options


def wrong_python(built_for: str) -> str:
    """Says what is wrong when the bundled extension modules are for another Python."""
    running = "{}.{}".format(*sys.version_info[:2])
    if not built_for or built_for == running:
        return ""
    return (
        f"this archive was built for Python {built_for} and runs on {running};"
        f" install python{built_for}, or set PYTHON to one"
    )


def read_once(url: str) -> int:
    from python_sensor.climate import Config, ConfigError, ReadError, Sensor

    try:
        reading = Sensor(Config.parse({"url": url})).read()
    except (ConfigError, ReadError) as error:
        print(f"python-sensor: {error}", file=sys.stderr)
        return 1
    print(json.dumps(dataclasses.asdict(reading)))
    return 0


def serve(address: str, tcp_mode: bool) -> int:
    # Imported here, not above: wrong_python gives a better answer than a failed import.
    import grpc

    from python_sensor import module

    tcp = tcp_mode or (":" in address and "/" not in address)
    if not tcp and (fault := clear_socket(address)):
        print(f"python-sensor: {fault}", file=sys.stderr)
        return 1
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=8))
    module.register(server)
    try:
        bound = server.add_insecure_port(address if tcp else f"unix:{address}")
    except RuntimeError:  # grpcio from 1.60 on raises, before it answers 0
        bound = 0
    if bound == 0:
        print(f"python-sensor: cannot listen on {address}: in use, or its folder is missing", file=sys.stderr)
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    server.start()
    log.info("serving on %s, model %s", address, module.MODEL)
    stop.wait()
    log.info("stopping")
    server.stop(STOP_GRACE).wait()
    return 0


def clear_socket(path: str) -> str:
    """Clears away the socket of a run that was killed, and only a socket."""
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            return f"{path} exists and is not a socket; give another path"
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        return f"remove the socket a former run left behind: {error}"
    return ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
