package api

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/gen/modfarm/v1/modfarmv1connect"
	packagesv1 "github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
)

// scopeGate holds keys of one module to it, for every RPC there is and will be: a
// request of such a key must name its module, or a build of it, by the fields that
// all services name these by, and nothing else. What names neither is refused,
// except what scopeFree lists. Keys of workflow runs are held to their modules in the
// same way, and to what forWorkflows lists. Keys of an organization pass.
type scopeGate struct{ *server }

// scopeFree are the calls that are good for every key: they tell about the key itself, or answer a key
// of one module with that module alone.
func scopeFree(procedure string) bool {
	switch procedure {
	case appv1connect.AppServiceListOrganizationsProcedure,
		appv1connect.AppServiceGetOrganizationProcedure,
		appv1connect.AppServiceListModulesProcedure,
		modfarmv1connect.AccountServiceWhoAmIProcedure:
		return true
	}
	return false
}

// WrapUnary checks the request.
func (g scopeGate) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		if err := checkProcedure(ctx, req.Spec()); err != nil {
			return nil, err
		}
		if p, scoped := scopedCaller(ctx, req.Spec()); scoped {
			if err := g.check(ctx, p, req.Any(), true); err != nil {
				return nil, err
			}
		}
		return next(ctx, req)
	}
}

// WrapStreamingHandler checks each message of the caller; the first has to name the module.
func (g scopeGate) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return func(ctx context.Context, conn connect.StreamingHandlerConn) error {
		if err := checkProcedure(ctx, conn.Spec()); err != nil {
			return err
		}
		if p, scoped := scopedCaller(ctx, conn.Spec()); scoped {
			conn = &scopedConn{StreamingHandlerConn: conn, check: func(msg any, first bool) error { return g.check(ctx, p, msg, first) }}
		}
		return next(ctx, conn)
	}
}

// WrapStreamingClient is for clients.
func (g scopeGate) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return next
}

func scopedCaller(ctx context.Context, spec connect.Spec) (account.Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(account.Principal)
	return p, ok && p.Scoped() && !scopeFree(spec.Procedure)
}

// scopedConn is a stream of a caller who is held to one module.
type scopedConn struct {
	connect.StreamingHandlerConn
	check   func(msg any, first bool) error
	started bool
}

// Receive receives a message and checks it.
func (c *scopedConn) Receive(msg any) error {
	if err := c.StreamingHandlerConn.Receive(msg); err != nil {
		return err
	}
	first := !c.started
	c.started = true
	return c.check(msg, first)
}

// check returns an error that wraps module.ErrForbidden, or module.ErrNotFound for a build, unless everything
// that the message names is in the key's scope. must says that it has to name something.
func (g scopeGate) check(ctx context.Context, p account.Principal, msg any, must bool) error {
	m, ok := msg.(proto.Message)
	if !ok {
		return p.RequireWhole()
	}
	if err := checkRun(p, msg); err != nil {
		return err
	}
	names := scopeNames{gate: g, caller: p}
	fillModule(m.ProtoReflect(), p.Only())
	if get, ok := msg.(*packagesv1.GetPackageRequest); ok {
		return names.packageID(get.GetId())
	}
	if err := names.message(ctx, m.ProtoReflect()); err != nil {
		return err
	}
	if must && !names.found {
		return p.RequireWhole()
	}
	return nil
}

// fillModule puts the key's own module into a request for a list that names none: what the key lists is
// that module's.
func fillModule(m protoreflect.Message, id module.ID) {
	field := m.Descriptor().Fields().ByName("module_id")
	lists := strings.HasPrefix(string(m.Descriptor().Name()), "List") && !id.IsZero()
	if lists && isText(field) && m.Get(field).String() == "" && !namesBuild(m) {
		m.Set(field, protoreflect.ValueOfString(id.String()))
	}
}

// namesBuild reports whether a request for a list is about one build.
func namesBuild(m protoreflect.Message) bool {
	field := m.Descriptor().Fields().ByName("build_id")
	return isText(field) && m.Get(field).String() != ""
}

func isText(field protoreflect.FieldDescriptor) bool {
	return field != nil && field.Kind() == protoreflect.StringKind && !field.IsList()
}

// scopeNames looks for the names of modules and builds in a message.
type scopeNames struct {
	gate   scopeGate
	caller account.Principal
	found  bool
}

// message looks through a message and those in it, and ends with the first name that is out of scope.
func (n *scopeNames) message(ctx context.Context, m protoreflect.Message) (err error) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
		case field.Kind() == protoreflect.MessageKind && field.IsList():
			for i := 0; i < value.List().Len() && err == nil; i++ {
				err = n.message(ctx, value.List().Get(i).Message())
			}
		case field.Kind() == protoreflect.MessageKind:
			err = n.message(ctx, value.Message())
		case isText(field) && value.String() != "":
			err = n.name(ctx, string(field.Name()), value.String())
		}
		return err == nil
	})
	return err
}

// name checks one field by its name.
func (n *scopeNames) name(ctx context.Context, field, text string) error {
	switch field {
	case "module_id", "item_id":
		id, err := module.ParseID(text)
		if err != nil {
			return at(field, err)
		}
		n.found = true
		return n.caller.RequireModule(id)
	case "build_id":
		n.found = true
		_, err := n.gate.ownBuild(ctx, n.caller, text)
		return err
	case "job_id":
		n.found = true
		return n.gate.ownJob(ctx, n.caller, text)
	}
	return nil
}

// packageID checks what a package is asked for by; without a prefix it is the caller's.
func (n *scopeNames) packageID(text string) error {
	if strings.HasPrefix(text, "/") {
		text = n.caller.Org.Prefix() + text
	}
	id, err := module.ParsePackageID(text)
	if err != nil {
		return at("id", err)
	}
	return n.caller.RequireModule(id)
}

// ownJob returns an error that wraps module.ErrNotFound for a job that is none of the caller's.
func (s *server) ownJob(ctx context.Context, p account.Principal, id string) error {
	_, build, err := s.farm.Job(ctx, id)
	if err != nil {
		return err
	}
	if build.OrgID != p.Org.ID || !p.Covers(build.Module) || !sameRun(p, build) {
		return fmt.Errorf("%w: no job has the id %q; list the builds to find the right one", module.ErrNotFound, id)
	}
	return nil
}
