package sensormodule_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"example.com/acme/go-sensor/sensormodule"
	"example.com/acme/go-sensor/viampb"
)

// dial serves a fresh module on a Unix socket, as a machine would have it, and connects to it.
func dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	module := sensormodule.Register(server)
	t.Cleanup(module.Close)
	t.Cleanup(server.Stop)
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("unix://"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func config(t *testing.T, url string) *viampb.ComponentConfig {
	t.Helper()
	attributes, err := structpb.NewStruct(map[string]any{"url": url})
	if err != nil {
		t.Fatal(err)
	}
	return &viampb.ComponentConfig{Name: "lab", Model: sensormodule.Model, Api: "rdk:component:sensor", Attributes: attributes}
}

func TestLifeOfASensor(t *testing.T) {
	t.Parallel()
	source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"temperature": 21.5, "humidity": 40}`))
	}))
	defer source.Close()
	conn, ctx := dial(t), t.Context()
	modules, sensors := viampb.NewModuleServiceClient(conn), viampb.NewSensorServiceClient(conn)

	if _, err := modules.AddResource(ctx, &viampb.AddResourceRequest{Config: config(t, source.URL)}); err != nil {
		t.Fatal(err)
	}
	got, err := sensors.GetReadings(ctx, &viampb.GetReadingsRequest{Name: "lab"})
	if err != nil {
		t.Fatal(err)
	}
	if c := got.GetReadings()["temperature_celsius"].GetNumberValue(); c != 21.5 {
		t.Errorf("temperature = %v, want 21.5", c)
	}
	if h := got.GetReadings()["humidity_percent"].GetNumberValue(); h != 40 {
		t.Errorf("humidity = %v, want 40", h)
	}

	command, _ := structpb.NewStruct(map[string]any{"command": "status"})
	did, err := sensors.DoCommand(ctx, &viampb.DoCommandRequest{Name: "lab", Command: command})
	if err != nil {
		t.Fatal(err)
	}
	if reads := did.GetResult().GetFields()["reads"].GetNumberValue(); reads != 1 {
		t.Errorf("reads = %v, want 1", reads)
	}

	if _, err := modules.ReconfigureResource(ctx, &viampb.ReconfigureResourceRequest{Config: config(t, source.URL+"/x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := modules.RemoveResource(ctx, &viampb.RemoveResourceRequest{Name: "rdk:component:sensor/lab"}); err != nil {
		t.Fatal(err)
	}
	if _, err := sensors.GetReadings(ctx, &viampb.GetReadingsRequest{Name: "lab"}); status.Code(err) != codes.NotFound {
		t.Errorf("after removal: %v, want NotFound", err)
	}
}

func TestValidateConfig(t *testing.T) {
	t.Parallel()
	modules := viampb.NewModuleServiceClient(dial(t))
	otherModel := config(t, "http://h")
	otherModel.Model = "acme:other:model"
	tests := map[string]struct {
		config *viampb.ComponentConfig
		want   string
	}{
		"good":        {config(t, "http://h/x"), ""},
		"bad address": {config(t, "not an address"), `attributes.url: "not an address"`},
		"other model": {otherModel, `config.model: "acme:other:model"`},
		"no name":     {&viampb.ComponentConfig{}, "config.name: missing"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := modules.ValidateConfig(t.Context(), &viampb.ValidateConfigRequest{Config: test.config})
			if test.want == "" {
				if err != nil {
					t.Errorf("error = %v, want none", err)
				}
				return
			}
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want InvalidArgument with %q", err, test.want)
			}
		})
	}
}

// TestReadyServicesAreReflected does what a machine does after Ready: look every
// service of the handler map up by reflection, version v1alpha.
func TestReadyServicesAreReflected(t *testing.T) {
	t.Parallel()
	conn, ctx := dial(t), t.Context()
	ready, err := viampb.NewModuleServiceClient(conn).Ready(ctx, &viampb.ReadyRequest{})
	if err != nil {
		t.Fatal(err)
	}
	handlers := ready.GetHandlermap().GetHandlers()
	if !ready.GetReady() || len(handlers) != 1 || !slices.Equal(handlers[0].GetModels(), []string{sensormodule.Model}) {
		t.Fatalf("Ready = %v, want ready with one handler for %s", ready, sensormodule.Model)
	}
	stream, err := grpc_reflection_v1alpha.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	service := handlers[0].GetSubtype().GetProtoService()
	err = stream.Send(&grpc_reflection_v1alpha.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1alpha.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: service},
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if files := answer.GetFileDescriptorResponse().GetFileDescriptorProto(); len(files) == 0 {
		t.Errorf("reflection of %s = %v, want its file", service, answer)
	}
}
