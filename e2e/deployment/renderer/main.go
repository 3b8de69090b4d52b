// Renders deployment files with the libraries of the tools that read them: `docker compose config` and `kustomize build`.
//
//	renderer compose ENV_FILE FILE...   the project that Docker Compose runs, as JSON; ENV_FILE may be empty
//	renderer kustomize FOLDER           the manifests that `kubectl apply -k` sends, as YAML
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

func main() {
	rendered, err := render(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Stdout.Write(rendered)
}

func render(args []string) ([]byte, error) {
	switch {
	case len(args) >= 3 && args[0] == "compose":
		return compose(args[1], args[2:])
	case len(args) == 2 && args[0] == "kustomize":
		return kustomize(args[1])
	}
	return nil, errors.New("usage: renderer compose ENV_FILE FILE... | renderer kustomize FOLDER")
}

func compose(envFile string, files []string) ([]byte, error) {
	settings := []cli.ProjectOptionsFn{cli.WithOsEnv}
	// Without one, also not .env: the test decides which variables there are.
	if envFile != "" {
		settings = append(settings, cli.WithEnvFiles(envFile), cli.WithDotEnv)
	}
	settings = append(settings, cli.WithDefaultProfiles(), cli.WithConsistency(true))
	options, err := cli.NewProjectOptions(files, settings...)
	if err != nil {
		return nil, err
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		return nil, err
	}
	return project.MarshalJSON()
}

func kustomize(folder string) ([]byte, error) {
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	return resources.AsYaml()
}
