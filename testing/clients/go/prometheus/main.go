// Command prometheus runs Prometheus' own discovery for Consul, as `consul_sd_configs` does, and prints what it finds.
//
//	prometheus HOST:PORT CONFIG
//
// CONFIG is a file with one element of `consul_sd_configs` in YAML, without `server`. Each target group that the
// discovery emits is printed as a line of JSON: `{"source": …, "targets": [labels, …]}`, with the group's labels in each
// target. The signal USR1 is answered by `{"calls": …, "failures": …}`: how often it has asked the server.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/consul"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"gopkg.in/yaml.v2"
)

func main() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR1)
	registry := prometheus.NewRegistry()
	discoverer, err := discoverer(os.Args[1], os.Args[2], registry)
	if err != nil {
		log.Fatal(err)
	}
	found := make(chan []*targetgroup.Group)
	go discoverer.Run(context.Background(), found)
	output := json.NewEncoder(os.Stdout)
	for {
		select {
		case groups := <-found:
			for _, group := range groups {
				output.Encode(shown(group))
			}
		case <-asked:
			output.Encode(counted(registry))
		}
	}
}

func discoverer(server, file string, registry *prometheus.Registry) (discovery.Discoverer, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var config consul.SDConfig
	if err := yaml.UnmarshalStrict(fmt.Appendf(text, "\nserver: %q\n", server), &config); err != nil {
		return nil, err
	}
	metrics := config.NewDiscovererMetrics(registry, discovery.NewRefreshMetrics(registry))
	if err := metrics.Register(); err != nil {
		return nil, err
	}
	return config.NewDiscoverer(discovery.DiscovererOptions{
		Logger:  slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Metrics: metrics,
	})
}

func shown(group *targetgroup.Group) map[string]any {
	targets := []map[string]string{}
	for _, target := range group.Targets {
		labels := map[string]string{}
		for name, value := range group.Labels.Merge(target) {
			labels[string(name)] = string(value)
		}
		targets = append(targets, labels)
	}
	return map[string]any{"source": group.Source, "targets": targets}
}

func counted(registry *prometheus.Registry) map[string]uint64 {
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	counts := map[string]uint64{"calls": 0, "failures": 0}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			switch family.GetName() {
			case "prometheus_sd_consul_rpc_duration_seconds":
				counts["calls"] += metric.GetSummary().GetSampleCount()
			case "prometheus_sd_consul_rpc_failures_total":
				counts["failures"] += uint64(metric.GetCounter().GetValue())
			}
		}
	}
	return counts
}
