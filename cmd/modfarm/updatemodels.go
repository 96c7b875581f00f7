package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/modfarm/modfarm/module"
)

func newModuleUpdateModels() *cobra.Command {
	var path, binary string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "update-models",
		Short: "Write the models that a built module serves into meta.json",
		Long: `Start the built module, ask it which models it serves, as a machine does, and write
them into the "models" of meta.json. Nothing else in that file changes, nor do the
entries of models that stay: their descriptions and links are kept.

The module is started with a Unix socket as its only argument, and with
VIAM_NO_MODULE_PARENT=true beside your environment. It is ended afterwards, with
everything that it started.`,
		Example: "  modfarm module update-models --binary bin/widget",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if binary == "" {
				return hinted(usageError{fmt.Errorf("--binary is missing")}, "name the built module, as --binary bin/widget")
			}
			old, err := os.ReadFile(path)
			if err != nil {
				return hinted(fmt.Errorf("--module: %w", err), "go to the module's folder, or name its meta.json with --module")
			}
			if _, err := module.ReplaceModels(old, nil); err != nil { // before anything is started
				return fmt.Errorf("%s:\n%w", path, err)
			}
			served, err := askModels(cmd.Context(), binary)
			if err != nil {
				return err
			}
			text, err := module.ReplaceModels(old, served)
			if err != nil {
				return fmt.Errorf("%s:\n%w", path, err)
			}
			changed := !bytes.Equal(old, text)
			if changed {
				if err := replaceFile(path, text); err != nil {
					return err
				}
			}
			return sayModels(cmd, path, served, changed, asJSON)
		},
	}
	cmd.Flags().StringVar(&path, "module", "meta.json", "the module's meta.json")
	cmd.Flags().StringVar(&binary, "binary", "", "the built module, or the script that starts it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func sayModels(cmd *cobra.Command, path string, served []module.Served, changed, asJSON bool) error {
	out := cmd.OutOrStdout()
	if asJSON {
		return json.NewEncoder(out).Encode(map[string]any{"file": path, "changed": changed, "models": slices.Concat([]module.Served{}, served)})
	}
	for _, s := range served {
		fmt.Fprintln(safeOutput(out), s.API, s.Model)
	}
	said := "has these models already"
	if changed {
		said = "is written"
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "%s %s\n", path, said)
	return err
}

// replaceFile writes beside a file and renames, so that it is whole at any time. Its mode stays.
func replaceFile(path string, text []byte) error {
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	info, err := os.Stat(target)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	part, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".")
	if err != nil {
		return unwritable(path, err)
	}
	defer os.Remove(part.Name())
	defer part.Close()
	if _, err := part.Write(text); err != nil {
		return unwritable(path, err)
	}
	if err := part.Chmod(info.Mode().Perm()); err != nil {
		return unwritable(path, err)
	}
	if err := part.Close(); err != nil {
		return unwritable(path, err)
	}
	if err := os.Rename(part.Name(), target); err != nil {
		return unwritable(path, err)
	}
	return nil
}
