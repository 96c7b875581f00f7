package docker

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/moby/moby/client"

	"github.com/modfarm/modfarm/workers"
)

var _ workers.Shell = (*box)(nil)

// Shell implements workers.Shell.
func (c *box) Shell(ctx context.Context, cmd workers.Command, t workers.Terminal) error {
	made, err := c.r.engine.ExecCreate(ctx, c.id, client.ExecCreateOptions{
		AttachStdin: true, AttachStdout: true, AttachStderr: true, TTY: true, User: "0:0", Env: cmd.Env, WorkingDir: cmd.Dir,
		Cmd: []string{"bash"}, ConsoleSize: client.ConsoleSize{Height: t.Height, Width: t.Width},
	})
	if err != nil {
		return fmt.Errorf("start a shell: %w", err)
	}
	conn, err := c.r.engine.ExecAttach(ctx, made.ID, client.ExecAttachOptions{TTY: true})
	if err != nil {
		return fmt.Errorf("start a shell: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, conn.Close)()
	go func() {
		_, _ = io.Copy(conn.Conn, t.In) // ends with the shell or its input
		_ = conn.CloseWrite()
	}()
	if _, err := io.Copy(t.Out, conn.Reader); err != nil && ctx.Err() == nil {
		return errors.Join(errors.New("the shell was cut off"), err)
	}
	return nil
}
