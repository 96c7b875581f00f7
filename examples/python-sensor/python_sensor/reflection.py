"""gRPC server reflection, v1alpha: machines refuse a module without it.

The grpcio-reflection package does the same; it is not packaged in Debian, and
these few lines are less than a dependency.
"""

from __future__ import annotations

from typing import Iterable, Iterator

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from reflection.v1alpha import reflection_pb2 as pb
from reflection.v1alpha import reflection_pb2_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["ServerReflection"].full_name


class Reflection(reflection_pb2_grpc.ServerReflectionServicer):
    """Answers from the pool that all generated code of this process registers in."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = sorted([*services, SERVICE])
        self._pool = descriptor_pool.Default()

    def ServerReflectionInfo(self, request_iterator, context) -> Iterator[pb.ServerReflectionResponse]:
        for request in request_iterator:
            response = self._answer(request)
            response.valid_host = request.host
            response.original_request.CopyFrom(request)
            yield response

    def _answer(self, request: pb.ServerReflectionRequest) -> pb.ServerReflectionResponse:
        kind = request.WhichOneof("message_request")
        try:
            if kind == "list_services":
                return self._list()
            if kind == "file_by_filename":
                return _files(self._pool.FindFileByName(request.file_by_filename))
            if kind == "file_containing_symbol":
                return _files(self._pool.FindFileContainingSymbol(request.file_containing_symbol))
        except KeyError as error:
            return _error(grpc.StatusCode.NOT_FOUND, str(error))
        return _error(grpc.StatusCode.UNIMPLEMENTED, f"{kind} is not served: there are no extensions here")

    def _list(self) -> pb.ServerReflectionResponse:
        services = [pb.ServiceResponse(name=name) for name in self._services]
        return pb.ServerReflectionResponse(
            list_services_response=pb.ListServiceResponse(service=services)
        )


def register(server: grpc.Server, services: Iterable[str]) -> None:
    """Lets clients of server look the named services, and this one, up."""
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(Reflection(services), server)


def _files(file: FileDescriptor) -> pb.ServerReflectionResponse:
    """The file and everything it imports, each once, so that a client asks only once."""
    found: dict[str, bytes] = {}

    def visit(one: FileDescriptor) -> None:
        if one.name in found:
            return
        proto = descriptor_pb2.FileDescriptorProto()
        one.CopyToProto(proto)
        found[one.name] = proto.SerializeToString()
        for dependency in one.dependencies:
            visit(dependency)

    visit(file)
    return pb.ServerReflectionResponse(
        file_descriptor_response=pb.FileDescriptorResponse(file_descriptor_proto=found.values())
    )


def _error(code: grpc.StatusCode, message: str) -> pb.ServerReflectionResponse:
    return pb.ServerReflectionResponse(
        error_response=pb.ErrorResponse(error_code=code.value[0], error_message=message)
    )
