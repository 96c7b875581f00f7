"""Tests of the services over a real Unix socket, as a machine calls them."""

import concurrent.futures
import os
import tempfile
import unittest

import grpc
from reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from test_climate import Source
from viam.app.v1 import robot_pb2
from viam.common.v1 import common_pb2
from viam.component.sensor.v1 import sensor_pb2_grpc
from viam.module.v1 import module_pb2, module_pb2_grpc

from python_sensor import module

TIMEOUT = 10


class ModuleTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        address = "unix:" + os.path.join(folder.name, "m.sock")
        server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        module.register(server)
        server.add_insecure_port(address)
        server.start()
        self.addCleanup(lambda: server.stop(None).wait())
        self.channel = grpc.insecure_channel(address)
        self.addCleanup(self.channel.close)
        self.modules = module_pb2_grpc.ModuleServiceStub(self.channel)
        self.sensors = sensor_pb2_grpc.SensorServiceStub(self.channel)

    def config(self, url, model=module.MODEL):
        config = robot_pb2.ComponentConfig(name="lab", model=model, api="rdk:component:sensor")
        config.attributes.update({"url": url})
        return config

    def assert_refused(self, code, text, call, request):
        with self.assertRaises(grpc.RpcError) as caught:
            call(request, timeout=TIMEOUT)
        self.assertEqual(caught.exception.code(), code)
        self.assertIn(text, caught.exception.details())

    def test_life_of_a_sensor(self):
        source = Source(200, b'{"temperature": 21.5, "humidity": 40}')
        self.addCleanup(source.close)
        add = module_pb2.AddResourceRequest(config=self.config(source.url))
        self.modules.AddResource(add, timeout=TIMEOUT)
        read = common_pb2.GetReadingsRequest(name="lab")
        readings = self.sensors.GetReadings(read, timeout=TIMEOUT).readings
        self.assertEqual(readings["temperature_celsius"].number_value, 21.5)
        self.assertEqual(readings["humidity_percent"].number_value, 40)

        command = common_pb2.DoCommandRequest(name="lab")
        command.command.update({"command": "status"})
        self.assertEqual(self.sensors.DoCommand(command, timeout=TIMEOUT).result["reads"], 1)
        command.command.update({"command": "dance"})
        self.assert_refused(grpc.StatusCode.INVALID_ARGUMENT, '"dance"', self.sensors.DoCommand, command)

        change = module_pb2.ReconfigureResourceRequest(config=self.config(source.url + "/x"))
        self.modules.ReconfigureResource(change, timeout=TIMEOUT)
        remove = module_pb2.RemoveResourceRequest(name="rdk:component:sensor/lab")
        self.modules.RemoveResource(remove, timeout=TIMEOUT)
        self.assert_refused(grpc.StatusCode.NOT_FOUND, '"lab"', self.sensors.GetReadings, read)

    def test_validate_config(self):
        request = module_pb2.ValidateConfigRequest
        self.modules.ValidateConfig(request(config=self.config("http://h/x")), timeout=TIMEOUT)
        for config, want in (
            (self.config("no address"), 'attributes.url: "no address"'),
            (self.config("http://h", model="acme:other:model"), 'config.model: "acme:other:model"'),
            (robot_pb2.ComponentConfig(), "config.name: missing"),
        ):
            with self.subTest(want=want):
                self.assert_refused(
                    grpc.StatusCode.INVALID_ARGUMENT, want, self.modules.ValidateConfig, request(config=config)
                )

    def test_services_of_ready_are_reflected(self):
        ready = self.modules.Ready(module_pb2.ReadyRequest(), timeout=TIMEOUT)
        self.assertTrue(ready.ready)
        handler = ready.handlermap.handlers[0]
        self.assertEqual(list(handler.models), [module.MODEL])

        service = handler.subtype.proto_service
        ask = reflection_pb2.ServerReflectionRequest
        requests = [
            ask(file_containing_symbol=service),
            ask(list_services=""),
            ask(file_containing_symbol="acme.Unknown"),
            ask(file_by_filename="viam/common/v1/common.proto"),
        ]
        stub = reflection_pb2_grpc.ServerReflectionStub(self.channel)
        symbol, listed, unknown, named = stub.ServerReflectionInfo(iter(requests), timeout=TIMEOUT)
        # The file itself, the common messages, and google/protobuf/struct.proto.
        self.assertEqual(len(symbol.file_descriptor_response.file_descriptor_proto), 3)
        self.assertIn(service, [entry.name for entry in listed.list_services_response.service])
        self.assertEqual(unknown.error_response.error_code, grpc.StatusCode.NOT_FOUND.value[0])
        self.assertEqual(len(named.file_descriptor_response.file_descriptor_proto), 2)


if __name__ == "__main__":
    unittest.main()
