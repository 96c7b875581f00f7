"""Reads temperature and humidity from an HTTP source. Knows nothing of gRPC."""

from __future__ import annotations

import json
import math
import threading
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from typing import Any, Mapping

DEFAULT_TIMEOUT = 5.0
MAX_ANSWER = 1 << 16  # a sensor's answer is a few dozen bytes


class ConfigError(ValueError):
    """A component's attributes are wrong; the text names every fault."""


class ReadError(RuntimeError):
    """The source could not be read; the text says why."""


@dataclass(frozen=True)
class Config:
    """A sensor's checked configuration."""

    url: str
    timeout: float = DEFAULT_TIMEOUT  # seconds

    @classmethod
    def parse(cls, attributes: Mapping[str, Any]) -> Config:
        """Checks a component's attributes, raising ConfigError with all faults at once."""
        faults = []
        url = attributes.get("url")
        if not isinstance(url, str) or not url:
            faults.append(
                "attributes.url: missing; give the address of the source,"
                ' such as "http://192.0.2.7/climate.json"'
            )
        elif not _is_http(url):
            faults.append(f'attributes.url: "{url}" is not an http or https address')
        timeout = attributes.get("timeout_seconds", DEFAULT_TIMEOUT)
        if not _is_timeout(timeout):
            faults.append(
                f"attributes.timeout_seconds: {timeout!r} is not a number above 0 and up to 300"
            )
        if faults:
            raise ConfigError("\n".join(faults))
        return cls(url=url, timeout=float(timeout))


def _is_http(url: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.netloc)


def _is_timeout(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return not math.isnan(value) and 0 < value <= 300


@dataclass(frozen=True)
class Reading:
    """One measurement."""

    temperature_celsius: float
    humidity_percent: float


@dataclass(frozen=True)
class Status:
    """How a sensor has been doing; last_error is empty after a good reading."""

    url: str
    reads: int = 0
    failures: int = 0
    last_error: str = ""


class Sensor:
    """Reads one source; many threads may use it at once."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._status = Status(url=config.url)

    def read(self) -> Reading:
        """Asks the source once, waiting at most the configured timeout. Raises ReadError."""
        try:
            reading = self._fetch()
        except ReadError as error:
            self._count(str(error))
            raise
        self._count("")
        return reading

    def status(self) -> Status:
        with self._lock:
            return self._status

    def _count(self, error: str) -> None:
        with self._lock:
            self._status = replace(
                self._status,
                reads=self._status.reads + 1,
                failures=self._status.failures + (1 if error else 0),
                last_error=error,
            )

    def _fetch(self) -> Reading:
        request = urllib.request.Request(
            self._config.url, headers={"Accept": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=self._config.timeout) as answer:
                body = answer.read(MAX_ANSWER)
        except urllib.error.HTTPError as error:
            raise ReadError(f"read {self._config.url}: the source answered {error.code}, want 200") from error
        except OSError as error:
            raise ReadError(f"read {self._config.url}: {error}") from error
        return _decode(body)


def _decode(body: bytes) -> Reading:
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise ReadError(f"the source's answer is not JSON: {error}") from error
    try:
        return Reading(float(answer["temperature"]), float(answer["humidity"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ReadError(
            'the source\'s answer lacks "temperature" or "humidity";'
            ' want {"temperature": 21.5, "humidity": 40}'
        ) from error
