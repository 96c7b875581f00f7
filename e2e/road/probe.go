package road

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/moby/moby/api/pkg/stdcopy"
	"github.com/moby/moby/api/types/container"
	docker "github.com/moby/moby/client"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/emptypb"
)

// Probe is how an entrypoint proves that it works.
type Probe int

const (
	// ProbeReady starts the module with a Unix socket and asks its ModuleService
	// whether it is ready, as a machine does.
	ProbeReady Probe = iota + 1
	// ProbeOnce runs "entrypoint --once" and wants one JSON object on standard output.
	ProbeOnce
)

// probeTimeout is long because a start under emulation is slow on a busy machine.
const probeTimeout = 5 * time.Minute

// start runs an unpacked archive's entrypoint in a container of its platform and
// returns when it has proved itself. The container has no network and no rights.
func (r *Road) start(ctx context.Context, probe Probe, image, dir, entrypoint string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	engine, err := docker.New(docker.FromEnv)
	if err != nil {
		return fmt.Errorf("reach the container engine: %w", err)
	}
	defer engine.Close()
	sockets, err := os.MkdirTemp("", "road-")
	if err != nil {
		return fmt.Errorf("make a folder for the module's socket: %w", err)
	}
	defer os.RemoveAll(sockets)

	argument := "/sockets/module.sock"
	if probe == ProbeOnce {
		argument = "--once"
	}
	created, err := engine.ContainerCreate(ctx, docker.ContainerCreateOptions{
		Config: &container.Config{
			Image: image, WorkingDir: "/module",
			Entrypoint: []string{path.Join("/module", entrypoint)}, Cmd: []string{argument},
		},
		HostConfig: &container.HostConfig{
			NetworkMode: "none", CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"},
			Binds: []string{dir + ":/module:ro", sockets + ":/sockets"},
		},
	})
	if err != nil {
		return fmt.Errorf("create a container of %s: %w", image, err)
	}
	defer remove(ctx, engine, created.ID)
	ended := engine.ContainerWait(ctx, created.ID, docker.ContainerWaitOptions{Condition: container.WaitConditionNextExit})
	if _, err := engine.ContainerStart(ctx, created.ID, docker.ContainerStartOptions{}); err != nil {
		return fmt.Errorf("start %s: %w", entrypoint, err)
	}
	if probe == ProbeOnce {
		return wantReading(ctx, engine, created.ID, ended)
	}
	return wantReady(ctx, engine, created.ID, filepath.Join(sockets, "module.sock"), ended)
}

func remove(ctx context.Context, engine *docker.Client, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	// Nothing can be done about a failure here; a test looks for what is left.
	_, _ = engine.ContainerRemove(ctx, id, docker.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
}

func wantReading(ctx context.Context, engine *docker.Client, id string, ended docker.ContainerWaitResult) error {
	select {
	case err := <-ended.Error:
		return fmt.Errorf("wait for the entrypoint: %w", err)
	case end := <-ended.Result:
		stdout, stderr, err := output(ctx, engine, id)
		if err != nil {
			return err
		}
		var reading map[string]any
		if end.StatusCode != 0 || json.Unmarshal(stdout, &reading) != nil || len(reading) == 0 {
			return fmt.Errorf("the entrypoint gave no reading: exit code %d\n%s%s", end.StatusCode, stdout, stderr)
		}
		return nil
	}
}

func output(ctx context.Context, engine *docker.Client, id string) (stdout, stderr []byte, err error) {
	logs, err := engine.ContainerLogs(ctx, id, docker.ContainerLogsOptions{ShowStdout: true, ShowStderr: true})
	if err != nil {
		return nil, nil, fmt.Errorf("read the entrypoint's output: %w", err)
	}
	defer logs.Close()
	var out, errs bytes.Buffer
	if _, err := stdcopy.StdCopy(&out, &errs, io.LimitReader(logs, 1<<20)); err != nil {
		return nil, nil, fmt.Errorf("read the entrypoint's output: %w", err)
	}
	return out.Bytes(), errs.Bytes(), nil
}

// wantReady polls Ready as a machine does: every 200 ms, until the module says so.
func wantReady(ctx context.Context, engine *docker.Client, id, socket string, ended docker.ContainerWaitResult) error {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("dial the module: %w", err)
	}
	defer conn.Close()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		select {
		case end := <-ended.Result:
			stdout, stderr, err := output(ctx, engine, id)
			return errors.Join(fmt.Errorf("the module ended with code %d before it was ready\n%s%s", end.StatusCode, stdout, stderr), err)
		case err := <-ended.Error:
			return errors.Join(fmt.Errorf("wait for the module: %w", err), last)
		case <-tick.C:
		}
		if last = askReady(ctx, conn); last == nil {
			return nil
		}
	}
}

// askReady calls Ready without the generated messages of any module: a request
// without fields is the empty message, and of the reply two fields are read
// (1 ready, 2 handlermap).
func askReady(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var reply emptypb.Empty
	if err := conn.Invoke(ctx, "/viam.module.v1.ModuleService/Ready", &emptypb.Empty{}, &reply); err != nil {
		return err
	}
	var ready, handlers bool
	for fields := []byte(reply.ProtoReflect().GetUnknown()); len(fields) > 0; {
		number, kind, n := protowire.ConsumeTag(fields)
		if n < 0 {
			return protowire.ParseError(n)
		}
		fields = fields[n:]
		ready = ready || number == 1 && kind == protowire.VarintType && fields[0] == 1
		handlers = handlers || number == 2 && kind == protowire.BytesType
		if n = protowire.ConsumeFieldValue(number, kind, fields); n < 0 {
			return protowire.ParseError(n)
		}
		fields = fields[n:]
	}
	if !ready || !handlers {
		return fmt.Errorf("the module is not ready (ready %t, handlers %t)", ready, handlers)
	}
	return nil
}
