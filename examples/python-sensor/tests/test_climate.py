"""Tests of the sensor against a real HTTP server."""

import http.server
import threading
import unittest

from python_sensor.climate import Config, ConfigError, Reading, ReadError, Sensor


class Source:
    """An HTTP server on a free port that always gives the same answer."""

    def __init__(self, status: int, body: bytes) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d/climate.json" % self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class SensorTest(unittest.TestCase):
    def read(self, status: int, body: bytes):
        source = Source(status, body)
        self.addCleanup(source.close)
        sensor = Sensor(Config(url=source.url, timeout=2))
        return sensor, sensor.read

    def test_reads(self):
        sensor, read = self.read(200, b'{"temperature": 21.5, "humidity": 40, "battery": 3}')
        self.assertEqual(read(), Reading(21.5, 40.0))
        self.assertEqual((sensor.status().reads, sensor.status().failures), (1, 0))

    def test_refused(self):
        sensor, read = self.read(503, b"")
        with self.assertRaisesRegex(ReadError, "503"):
            read()
        self.assertEqual((sensor.status().reads, sensor.status().failures), (1, 1))
        self.assertIn("503", sensor.status().last_error)

    def test_bad_answers(self):
        for body, want in ((b"<html>", "not JSON"), (b"{}", "lacks"), (b"[]", "lacks")):
            with self.subTest(body=body):
                _, read = self.read(200, body)
                with self.assertRaisesRegex(ReadError, want):
                    read()

    def test_unreachable(self):
        source = Source(200, b"")
        source.close()
        with self.assertRaisesRegex(ReadError, "refused"):
            Sensor(Config(url=source.url, timeout=2)).read()


class ConfigTest(unittest.TestCase):
    def test_good(self):
        self.assertEqual(Config.parse({"url": "http://h/x"}), Config("http://h/x", 5.0))
        self.assertEqual(Config.parse({"url": "https://h", "timeout_seconds": 0.5}).timeout, 0.5)

    def test_all_faults_at_once(self):
        with self.assertRaises(ConfigError) as caught:
            Config.parse({"url": "ftp://h", "timeout_seconds": "soon"})
        self.assertIn('attributes.url: "ftp://h"', str(caught.exception))
        self.assertIn("attributes.timeout_seconds: 'soon'", str(caught.exception))

    def test_missing(self):
        with self.assertRaisesRegex(ConfigError, "attributes.url: missing"):
            Config.parse({})


if __name__ == "__main__":
    unittest.main()
