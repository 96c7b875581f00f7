// Package sensormodule serves climate sensors over the module protocol: the
// ModuleService by which a machine manages them and the SensorService by which
// it reads them. It opens no sockets; see [Register].
package sensormodule

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"example.com/acme/go-sensor/climate"
	"example.com/acme/go-sensor/viampb"
)

// Model is the model this module provides, as meta.json names it.
const Model = "acme:go-sensor:climate"

// Module holds the sensors that the machine has added.
type Module struct {
	viampb.UnimplementedModuleServiceServer
	viampb.UnimplementedSensorServiceServer

	mu      sync.RWMutex
	sensors map[string]*climate.Sensor
}

// Register puts a new module's services on server, with reflection in both
// versions: machines look the services up by v1alpha and refuse a module without.
func Register(server *grpc.Server) *Module {
	module := &Module{sensors: map[string]*climate.Sensor{}}
	viampb.RegisterModuleServiceServer(server, module)
	viampb.RegisterSensorServiceServer(server, module)
	reflection.Register(server)
	return module
}

// Ready tells the machine which API this module serves with which models.
func (m *Module) Ready(context.Context, *viampb.ReadyRequest) (*viampb.ReadyResponse, error) {
	return &viampb.ReadyResponse{
		Ready: true,
		Handlermap: &viampb.HandlerMap{Handlers: []*viampb.HandlerDefinition{{
			Subtype: &viampb.ResourceRPCSubtype{
				Subtype:      &viampb.ResourceName{Namespace: "rdk", Type: "component", Subtype: "sensor"},
				ProtoService: viampb.SensorService_ServiceDesc.ServiceName,
			},
			Models: []string{Model},
		}}},
	}, nil
}

// ValidateConfig refuses a configuration with everything that is wrong with it. A climate sensor has no dependencies.
func (m *Module) ValidateConfig(_ context.Context, request *viampb.ValidateConfigRequest) (*viampb.ValidateConfigResponse, error) {
	if _, err := parse(request.GetConfig()); err != nil {
		return nil, err
	}
	return &viampb.ValidateConfigResponse{}, nil
}

// AddResource starts a sensor. Adding a name again replaces the sensor of that name.
func (m *Module) AddResource(_ context.Context, request *viampb.AddResourceRequest) (*viampb.AddResourceResponse, error) {
	if err := m.put(request.GetConfig()); err != nil {
		return nil, err
	}
	return &viampb.AddResourceResponse{}, nil
}

// ReconfigureResource replaces a sensor by one with another configuration.
func (m *Module) ReconfigureResource(_ context.Context, request *viampb.ReconfigureResourceRequest) (*viampb.ReconfigureResourceResponse, error) {
	if err := m.put(request.GetConfig()); err != nil {
		return nil, err
	}
	return &viampb.ReconfigureResourceResponse{}, nil
}

// RemoveResource stops a sensor. A name that is not there is removed already.
func (m *Module) RemoveResource(_ context.Context, request *viampb.RemoveResourceRequest) (*viampb.RemoveResourceResponse, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := shortName(request.GetName())
	if sensor, ok := m.sensors[name]; ok {
		sensor.Close()
		delete(m.sensors, name)
	}
	return &viampb.RemoveResourceResponse{}, nil
}

// Close stops all sensors.
func (m *Module) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, sensor := range m.sensors {
		sensor.Close()
	}
	clear(m.sensors)
}

func (m *Module) put(config *viampb.ComponentConfig) error {
	parsed, err := parse(config)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.sensors[config.GetName()]; ok {
		old.Close()
	}
	m.sensors[config.GetName()] = climate.NewSensor(parsed)
	return nil
}

func (m *Module) sensor(name string) (*climate.Sensor, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	sensor, ok := m.sensors[shortName(name)]
	if !ok {
		return nil, status.Errorf(codes.NotFound, "there is no sensor %q in this module; it was not added, or it was removed", name)
	}
	return sensor, nil
}

func parse(config *viampb.ComponentConfig) (climate.Config, error) {
	if config.GetName() == "" {
		return climate.Config{}, status.Error(codes.InvalidArgument, "config.name: missing; every component needs a name")
	}
	if model := config.GetModel(); model != Model {
		return climate.Config{}, status.Errorf(codes.InvalidArgument, "config.model: %q is not served here; this module serves %s", model, Model)
	}
	parsed, err := climate.ParseConfig(config.GetAttributes().AsMap())
	if err != nil {
		return climate.Config{}, status.Error(codes.InvalidArgument, fmt.Sprintf("component %q: %v", config.GetName(), err))
	}
	return parsed, nil
}

// shortName strips the API from a full resource name ("rdk:component:sensor/lab"):
// RemoveResource gets the full name, the sensor calls get the short one.
func shortName(name string) string {
	return name[strings.LastIndexByte(name, '/')+1:]
}
