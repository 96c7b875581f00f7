// Command guard is the guard of the tests: what `modfarm guard` does, without the rest of modfarm.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/modfarm/modfarm/workers/docker/guard"
)

func main() {
	ctx := context.Background()
	var err error
	if len(os.Args) > 2 && os.Args[2] == "survey" {
		err = guard.TakeSurvey(ctx, os.Args[3:], os.Stdout)
	} else {
		err = guard.Run(ctx, os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
