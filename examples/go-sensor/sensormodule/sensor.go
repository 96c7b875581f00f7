package sensormodule

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"example.com/acme/go-sensor/climate"
	"example.com/acme/go-sensor/viampb"
)

// GetReadings reads the named sensor once.
func (m *Module) GetReadings(ctx context.Context, request *viampb.GetReadingsRequest) (*viampb.GetReadingsResponse, error) {
	sensor, err := m.sensor(request.GetName())
	if err != nil {
		return nil, err
	}
	reading, err := sensor.Read(ctx)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "sensor %q: %v", request.GetName(), err)
	}
	return &viampb.GetReadingsResponse{Readings: Readings(reading)}, nil
}

// DoCommand answers {"command": "status"} with how the sensor has been doing.
func (m *Module) DoCommand(_ context.Context, request *viampb.DoCommandRequest) (*viampb.DoCommandResponse, error) {
	sensor, err := m.sensor(request.GetName())
	if err != nil {
		return nil, err
	}
	if command := request.GetCommand().GetFields()["command"].GetStringValue(); command != "status" {
		return nil, status.Errorf(codes.InvalidArgument, `command: %q is not known; use {"command": "status"}`, command)
	}
	state := sensor.Status()
	result, err := structpb.NewStruct(map[string]any{
		"url": state.URL, "reads": state.Reads, "failures": state.Failures, "last_error": state.LastError,
	})
	if err != nil {
		return nil, status.Errorf(codes.Internal, "status of %q: %v", request.GetName(), err)
	}
	return &viampb.DoCommandResponse{Result: result}, nil
}

// Readings spells a reading as the sensor API does.
func Readings(reading climate.Reading) map[string]*structpb.Value {
	return map[string]*structpb.Value{
		"temperature_celsius": structpb.NewNumberValue(reading.TemperatureCelsius),
		"humidity_percent":    structpb.NewNumberValue(reading.HumidityPercent),
	}
}
