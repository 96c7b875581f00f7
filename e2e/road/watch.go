package road

import (
	"context"
	"fmt"
	"time"

	"github.com/modfarm/modfarm/client"
	"github.com/modfarm/modfarm/module"
)

// watch tells what the builds of an example are doing, one line each time a job
// moves on. The returned function ends it.
func (r *Road) watch(ctx context.Context, ex Example) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		told := map[string]string{}
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			r.tell(ctx, ex, told)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return func() { cancel(); <-done }
}

// tell is silent about errors: progress is a courtesy, the workflow's result counts.
func (r *Road) tell(ctx context.Context, ex Example, told map[string]string) {
	farm, err := r.farm.Client()
	if err != nil {
		return
	}
	builds, err := farm.Builds(ctx, module.ID{Namespace: Namespace, Name: ex.Name}, 1)
	if err != nil {
		return
	}
	for _, b := range builds {
		for _, j := range b.Jobs {
			if line := describe(j); told[j.ID] != line {
				told[j.ID] = line
				r.say("%-13s %s %s", ex.Name, j.Platform, line)
			}
		}
	}
}

func describe(j client.Job) string {
	line := string(j.State)
	if j.Strategy != "" {
		line += " (" + string(j.Strategy) + ")"
	}
	switch {
	case j.Reason != "":
		line += ": " + j.Reason
	case j.Step != "" && !j.Terminal:
		line += ": " + j.Step
	}
	if j.Terminal {
		line += fmt.Sprintf(", %.0f s", j.EndedAt.Sub(j.StartedAt).Seconds())
	}
	return line
}
