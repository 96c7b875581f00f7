package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newUp(lookup lookupFunc) *cobra.Command {
	var f controlFlags
	var w workerFlags
	var work string
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run everything on this machine: control plane and one worker",
		Long: `Run a whole farm in one process on embedded defaults: SQLite, a folder of
archives, an embedded Redis and one worker on the local Docker engine.

The first start makes an organization and an API key. On a terminal the key is
shown once; otherwise it is left in api-key.env (mode 0600) in the data folder.
Ctrl-C lets running builds end within --drain; the others are given back and start
again with the farm. No container is left behind. A second Ctrl-C gives back at once
what still runs, and a third one ends the process as it is.`,
		Example: "  modfarm up\n  modfarm up --data ./farm --listen 127.0.0.1:9000 --namespace acme",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := f.log.logger(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			// The control plane outlives the signal until the worker has drained:
			// jobs are given back through its API.
			control, stopControl := context.WithCancel(context.WithoutCancel(cmd.Context()))
			defer stopControl()
			c, err := f.open(control, lookup, log)
			if err != nil {
				return err
			}
			if work == "" {
				work = filepath.Join(f.data, "work")
			}
			worker, err := w.prepare(cmd.Context(), lookup, workerParts{
				farmURL: loopback(c.listener), token: c.cfg.workerToken, redis: c.bell.Redis, work: work,
				allowPrivate: f.allowPrivateRepositories, log: log,
			})
			if err == nil {
				err = f.welcome(cmd.Context(), cmd.OutOrStdout(), c)
			}
			if err != nil {
				return errors.Join(err, c.Close())
			}
			hurry, quiet := secondSignal()
			defer quiet()
			worker.pool.Hurry = hurry
			return errors.Join(runTogether(control, stopControl, cmd, c, worker), c.Close())
		},
	}
	f.add(cmd.Flags())
	w.add(cmd.Flags())
	cmd.Flags().StringVar(&work, "work", "", "folder for checkouts; the Docker engine has to see it under the same path (default work in --data)")
	return cmd
}

// runTogether runs both parts. The worker ends first, then the control plane;
// when the control plane fails, the worker stops, too.
func runTogether(control context.Context, stopControl func(), cmd *cobra.Command, c *controlPlane, w *worker) error {
	working, stopWorking := context.WithCancelCause(cmd.Context())
	defer stopWorking(nil)
	ended := make(chan error, 1)
	go func() {
		err := c.Run(control)
		stopWorking(err)
		ended <- err
	}()
	sayStopping := context.AfterFunc(cmd.Context(), func() { //nolint:contextcheck // the signal is what it waits for
		fmt.Fprintf(cmd.ErrOrStderr(), "stopping; running builds have %s to end, the rest starts again with the farm (Ctrl-C again stops them now)\n", w.pool.Grace)
	})
	defer sayStopping()
	err := w.Run(working) //nolint:contextcheck // the worker ends at the signal, the control plane after it
	stopControl()
	return errors.Join(err, <-ended)
}
