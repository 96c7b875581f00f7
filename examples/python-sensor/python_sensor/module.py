"""Serves climate sensors over the module protocol; opens no sockets."""

from __future__ import annotations

import threading

import grpc
from google.protobuf import json_format, struct_pb2
from viam.app.v1 import robot_pb2 as app_pb2
from viam.common.v1 import common_pb2
from viam.component.sensor.v1 import sensor_pb2, sensor_pb2_grpc
from viam.module.v1 import module_pb2, module_pb2_grpc
from viam.robot.v1 import robot_pb2

from python_sensor import reflection
from python_sensor.climate import Config, ConfigError, ReadError, Sensor

MODEL = "acme:python-sensor:climate"  # as meta.json names it
MODULE_SERVICE = module_pb2.DESCRIPTOR.services_by_name["ModuleService"].full_name
SENSOR_SERVICE = sensor_pb2.DESCRIPTOR.services_by_name["SensorService"].full_name


class Sensors:
    """The sensors that the machine has added, by short name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sensors: dict[str, Sensor] = {}

    def put(self, name: str, sensor: Sensor) -> None:
        with self._lock:
            self._sensors[name] = sensor

    def remove(self, name: str) -> None:
        with self._lock:
            self._sensors.pop(_short(name), None)

    def get(self, name: str, context: grpc.ServicerContext) -> Sensor:
        with self._lock:
            sensor = self._sensors.get(_short(name))
        if sensor is None:
            context.abort(
                grpc.StatusCode.NOT_FOUND,
                f'there is no sensor "{name}" in this module; it was not added, or it was removed',
            )
        return sensor


class ModuleService(module_pb2_grpc.ModuleServiceServicer):
    """What a machine calls to manage the module's sensors."""

    def __init__(self, sensors: Sensors) -> None:
        self._sensors = sensors

    def Ready(self, request, context):
        sensor_api = common_pb2.ResourceName(namespace="rdk", type="component", subtype="sensor")
        handler = module_pb2.HandlerDefinition(
            subtype=robot_pb2.ResourceRPCSubtype(subtype=sensor_api, proto_service=SENSOR_SERVICE),
            models=[MODEL],
        )
        return module_pb2.ReadyResponse(
            ready=True, handlermap=module_pb2.HandlerMap(handlers=[handler])
        )

    def ValidateConfig(self, request, context):
        _parse(request.config, context)
        return module_pb2.ValidateConfigResponse()

    def AddResource(self, request, context):
        self._sensors.put(request.config.name, Sensor(_parse(request.config, context)))
        return module_pb2.AddResourceResponse()

    def ReconfigureResource(self, request, context):
        self._sensors.put(request.config.name, Sensor(_parse(request.config, context)))
        return module_pb2.ReconfigureResourceResponse()

    def RemoveResource(self, request, context):
        self._sensors.remove(request.name)
        return module_pb2.RemoveResourceResponse()


class SensorService(sensor_pb2_grpc.SensorServiceServicer):
    """What a machine calls to read a sensor."""

    def __init__(self, sensors: Sensors) -> None:
        self._sensors = sensors

    def GetReadings(self, request, context):
        sensor = self._sensors.get(request.name, context)
        try:
            reading = sensor.read()
        except ReadError as error:
            context.abort(grpc.StatusCode.UNAVAILABLE, f'sensor "{request.name}": {error}')
        return common_pb2.GetReadingsResponse(
            readings={
                "temperature_celsius": struct_pb2.Value(number_value=reading.temperature_celsius),
                "humidity_percent": struct_pb2.Value(number_value=reading.humidity_percent),
            }
        )

    def DoCommand(self, request, context):
        """Answers {"command": "status"} with how the sensor has been doing."""
        sensor = self._sensors.get(request.name, context)
        command = request.command.fields["command"].string_value
        if command != "status":
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT,
                f'command: "{command}" is not known; use {{"command": "status"}}',
            )
        result = struct_pb2.Struct()
        result.update(vars(sensor.status()))
        return common_pb2.DoCommandResponse(result=result)


def register(server: grpc.Server) -> None:
    """Puts a new module's services on server, with the reflection that machines need."""
    sensors = Sensors()
    module_pb2_grpc.add_ModuleServiceServicer_to_server(ModuleService(sensors), server)
    sensor_pb2_grpc.add_SensorServiceServicer_to_server(SensorService(sensors), server)
    reflection.register(server, [MODULE_SERVICE, SENSOR_SERVICE])


def _parse(config: app_pb2.ComponentConfig, context: grpc.ServicerContext) -> Config:
    if not config.name:
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT, "config.name: missing; every component needs a name"
        )
    if config.model != MODEL:
        context.abort(
            grpc.StatusCode.INVALID_ARGUMENT,
            f'config.model: "{config.model}" is not served here; this module serves {MODEL}',
        )
    try:
        return Config.parse(json_format.MessageToDict(config.attributes))
    except ConfigError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f'component "{config.name}": {error}')


def _short(name: str) -> str:
    """Strips the API from a full resource name ("rdk:component:sensor/lab"):
    RemoveResource gets the full name, the sensor calls get the short one."""
    return name.rpartition("/")[2]
