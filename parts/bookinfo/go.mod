// The sample application Bookinfo comes with Istio's module, whose sources are its own.
module istiolab.dev/parts/bookinfo

go 1.26.0

require istio.io/istio v0.0.0-20260827124520-eed52ebb66ad
