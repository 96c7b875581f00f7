package main

import "testing"

// A worker's name in the environment is no module's, key's or App's.
func TestNamesAreNotShared(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.env["MODFARM_NAME"] = "worker-7"
	p.run("module", "create", "acme:gadget").want(exitOK, "acme:gadget", "")
	p.run("key", "create", "--role", "reader", "--json").want(exitOK, `"name":"key-`, "")
}
