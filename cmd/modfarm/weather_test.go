package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	commonv1 "github.com/modfarm/modfarm/proto/gen/viam/common/v1"
	modulev1 "github.com/modfarm/modfarm/proto/gen/viam/module/v1"
	robotv1 "github.com/modfarm/modfarm/proto/gen/viam/robot/v1"
)

// weather is a module process as the scripts start it: a server of grpc-go on the socket that is its
// argument. The environment steers it: WEATHER=mute never listens, WEATHER=crash ends, WEATHER=children
// starts a process that outlives it and writes its number to $PIDFILE.
func weather() {
	if os.Getenv("VIAM_NO_MODULE_PARENT") != "true" || len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "not started as a module without a parent:", os.Args)
		os.Exit(1)
	}
	switch os.Getenv("WEATHER") {
	case "crash":
		fmt.Fprintln(os.Stderr, "no barometer found")
		os.Exit(7)
	case "children":
		child := exec.Command("sleep", "1000")
		if err := child.Start(); err != nil {
			os.Exit(1)
		}
		if err := os.WriteFile(os.Getenv("PIDFILE"), []byte(strconv.Itoa(child.Process.Pid)), 0o600); err != nil {
			os.Exit(1)
		}
	}
	listener, err := net.Listen("unix", os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	server := grpc.NewServer()
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "viam.module.v1.ModuleService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Ready", Handler: weatherReady()}},
	}, struct{}{})
	if err := server.Serve(listener); err != nil {
		os.Exit(1)
	}
}

// weatherReady is not ready the first time.
func weatherReady() grpc.MethodHandler {
	asked := 0
	api := func(kind, subtype string) *robotv1.ResourceRPCSubtype {
		return &robotv1.ResourceRPCSubtype{Subtype: &commonv1.ResourceName{Namespace: "rdk", Type: kind, Subtype: subtype}}
	}
	return func(_ any, _ context.Context, read func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		if err := read(&emptypb.Empty{}); err != nil {
			return nil, err
		}
		asked++
		return &modulev1.ReadyResponse{Ready: asked > 1, Handlermap: &modulev1.HandlerMap{Handlers: []*modulev1.HandlerDefinition{
			{Subtype: api("component", "sensor"), Models: []string{"acme:weather:outdoor", "acme:weather:indoor"}},
			{Subtype: api("service", "slam"), Models: []string{"acme:weather:map"}},
		}}}, nil
	}
}
