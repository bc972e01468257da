// Prometheus 3.10.0, built from its own main package.
module istiolab.dev/parts/prometheus

go 1.26.0

tool github.com/prometheus/prometheus/cmd/prometheus

require github.com/prometheus/prometheus v0.310.0
