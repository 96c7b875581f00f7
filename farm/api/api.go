package api

import (
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/modfarm/modfarm/farm"
	"github.com/modfarm/modfarm/farm/account"
	"github.com/modfarm/modfarm/farm/github"
	"github.com/modfarm/modfarm/farm/oidc"
	"github.com/modfarm/modfarm/farm/registry"
	"github.com/modfarm/modfarm/module"
	"github.com/modfarm/modfarm/proto/gen/modfarm/v1/modfarmv1connect"
	"github.com/modfarm/modfarm/proto/gen/proto/rpc/v1/rpcv1connect"
	"github.com/modfarm/modfarm/proto/gen/viam/app/build/v1/buildv1connect"
	"github.com/modfarm/modfarm/proto/gen/viam/app/packages/v1/packagesv1connect"
	"github.com/modfarm/modfarm/proto/gen/viam/app/v1/appv1connect"
	"github.com/modfarm/modfarm/proto/wire"
)

// Config is what the API stands on. Farm, Registry and Accounts are required.
type Config struct {
	Farm     *farm.Farm
	Registry *registry.Registry
	Accounts *account.Accounts
	// Links keeps which repositories are built on a push; nil leaves these RPCs unimplemented.
	Links *farm.Links
	// Workflows checks the identities of workflow runs, which are exchanged for keys; nil exchanges none.
	Workflows *oidc.Verifier
	// GitHub is the GitHub App; nil answers that there is none.
	GitHub *github.GitHub
	// WorkerToken is what workers prove themselves with; when empty no worker is let in.
	WorkerToken string
	// PublicURL is how the world sees the farm, for download addresses; when empty they are made of
	// the address that the caller used.
	PublicURL string
	// Log gets every request at debug level and the farm's own faults as errors; nil drops them.
	Log *slog.Logger
	// Version is shown by the health check.
	Version string
}

// compressFrom is the size in bytes from which messages are compressed for callers that accept it.
const compressFrom = 4 << 10

type server struct {
	farm       *farm.Farm
	registry   *registry.Registry
	accounts   *account.Accounts
	links      *farm.Links
	workflows  *oidc.Verifier
	unproved   scarce
	github     *github.GitHub
	workerHash [sha256.Size]byte
	noWorkers  bool
	publicURL  string
	log        *slog.Logger
	version    string
}

// New returns the handler of everything. Serve it with NewServer, which speaks all protocols on one port.
func New(cfg Config) http.Handler {
	s := &server{
		farm: cfg.Farm, registry: cfg.Registry, accounts: cfg.Accounts, links: cfg.Links, workflows: cfg.Workflows, github: cfg.GitHub,
		workerHash: sha256.Sum256([]byte(cfg.WorkerToken)), noWorkers: cfg.WorkerToken == "",
		publicURL: strings.TrimSuffix(cfg.PublicURL, "/"), log: cfg.Log, version: cfg.Version,
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	mux := http.NewServeMux()
	s.mountServices(mux)
	mux.Handle("GET "+wire.PathHealth, s.endpoint(s.health))
	mux.Handle("GET "+wire.PathPackages+"{namespace}/{name}/{file}", s.endpoint(s.download))
	mux.Handle("GET "+wire.PathSchema, s.endpoint(s.manifestSchema))
	mux.Handle("GET "+wire.PathResolve+"{namespace}/{name}", s.endpoint(s.getResolved))
	mux.Handle("GET "+wire.PathJobs+"{job}/source", s.endpoint(s.getSource))
	mux.Handle("GET "+wire.PathBuilds+"{build}/source", s.endpoint(s.getBuildSource))
	s.mountUploads(mux)
	s.mountGitHub(mux)
	mux.Handle("/", s.endpoint(s.unknown))
	return mux
}

func (s *server) mountServices(mux *http.ServeMux) {
	common := []connect.HandlerOption{
		connect.WithReadMaxBytes(wire.MaxMessage),
		connect.WithSendMaxBytes(wire.MaxMessage),
		connect.WithCompressMinBytes(compressFrom),
		connect.WithInterceptors(observer{s}),
		connect.WithRecover(recovered),
	}
	open := connect.WithHandlerOptions(common...)
	users := connect.WithHandlerOptions(append(slices.Clip(common), connect.WithRequestGate(s.userGate), connect.WithInterceptors(scopeGate{s}))...)
	workers := connect.WithHandlerOptions(append(slices.Clip(common), connect.WithRequestGate(s.workerGate))...)

	mount := func(path string, h http.Handler) { mux.Handle(path, rememberOrigin(h)) }
	mount(rpcv1connect.NewAuthServiceHandler(authService{s}, open))
	mount(appv1connect.NewAppServiceHandler(appService{server: s}, users, connect.WithCodec(pieceCodec{})))
	mount(packagesv1connect.NewPackageServiceHandler(packageService{server: s}, users))
	mount(buildv1connect.NewBuildServiceHandler(buildService{server: s}, users))
	mount(modfarmv1connect.NewAccountServiceHandler(accountService{s}, users))
	mount(modfarmv1connect.NewFarmServiceHandler(farmService{s}, users))
	mount(modfarmv1connect.NewGitHubServiceHandler(githubService{s}, users))
	mount(modfarmv1connect.NewLinkServiceHandler(linkService{s}, users))
	mount(modfarmv1connect.NewRegistryServiceHandler(registryService{s}, users))
	mount(modfarmv1connect.NewResolveServiceHandler(resolveService{s}, users))
	mount(modfarmv1connect.NewWorkerServiceHandler(workerService{s}, workers))
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.version})
}

// unknown answers RPCs that this farm does not have in their own protocol, and everything else in JSON.
func (s *server) unknown(w http.ResponseWriter, r *http.Request) error {
	if rpc := connect.NewErrorWriter(); r.Method == http.MethodPost && rpc.IsSupported(r) {
		return rpc.Write(w, r, s.rpcError(r.Context(), r.URL.Path, unimplemented(r.URL.Path)))
	}
	return fmt.Errorf("%w: this farm has nothing at %s; check the address", module.ErrNotFound, r.URL.Path)
}
