// Command kube is a one-node Kubernetes in a single binary: every component that a small cluster needs, chosen by
// the name it is started under (a symbolic link), or by its first argument.
//
// One binary instead of seven keeps the cold build short: the components share most of their code.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	"context"
)

var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

func names() string {
	known := make([]string, 0, len(components))
	for name := range components {
		known = append(known, name)
	}
	sort.Strings(known)
	return strings.Join(known, ", ")
}

func main() {
	name := filepath.Base(os.Args[0])
	build, found := components[name]
	if !found && len(os.Args) > 1 {
		name = os.Args[1]
		if build, found = components[name]; found {
			os.Args = os.Args[1:]
		}
	}
	if !found {
		fmt.Fprintf(os.Stderr, "kube: start it under the name of a component, or name one first: %s\n", names())
		os.Exit(2)
	}
	os.Exit(cli.Run(build()))
}
