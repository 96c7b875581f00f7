package account_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/modfarm/modfarm/farm/store/storetest"
)

// servers is set once, before any test runs.
var servers *storetest.Servers

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if servers, err = storetest.Start(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := servers.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
