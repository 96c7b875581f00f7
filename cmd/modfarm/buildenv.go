package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"github.com/modfarm/modfarm/workers/images"
)

// buildEnvFlags are what a machine behind proxies or with a certificate
// authority of its own has to tell builds and image making.
type buildEnvFlags struct {
	env []string
	ca  string
}

func (f *buildEnvFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.env, "build-env", nil,
		"environment of builds, as NAME=VALUE, or NAME to pass on this process's own; such as GOPROXY, PIP_INDEX_URL, HTTPS_PROXY (may be repeated)")
	flags.StringVar(&f.ca, "build-ca", "", "PEM file with certificates that builds shall trust")
}

// values are the variables with their values, and the absolute path of the
// certificates.
func (f *buildEnvFlags) values(lookup lookupFunc) (env map[string]string, ca string, err error) {
	env = make(map[string]string, len(f.env))
	var faults []error
	for _, entry := range f.env {
		name, value, given := strings.Cut(entry, "=")
		if !given {
			value, _ = lookup(name)
		}
		switch {
		case name == "":
			faults = append(faults, fmt.Errorf("--build-env %q: the name is missing: write NAME=VALUE", entry))
		case strings.HasPrefix(name, "MODFARM_"), strings.HasPrefix(name, "VIAM_"), name == "GOOS", name == "GOARCH":
			faults = append(faults, fmt.Errorf("--build-env %q: the farm sets %s itself: choose another name", entry, name))
		default:
			env[name] = value
		}
	}
	if f.ca != "" {
		if ca, err = filepath.Abs(f.ca); err == nil {
			_, err = os.Stat(ca)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("--build-ca: %w", err))
		}
	}
	if len(faults) > 0 {
		return nil, "", usageError{errors.Join(faults...)}
	}
	return env, ca, nil
}

// imageEnv is the same for the making of images.
func imageEnv(env map[string]string, ca string) images.BuildEnv {
	either := func(name string) string {
		if v := env[name]; v != "" {
			return v
		}
		return env[strings.ToLower(name)]
	}
	return images.BuildEnv{
		HTTPProxy: either("HTTP_PROXY"), HTTPSProxy: either("HTTPS_PROXY"), NoProxy: either("NO_PROXY"),
		GOPROXY: env["GOPROXY"], CABundle: ca,
	}
}
