// The process that holds a pod's namespaces; standard library only.
module istiolab.dev/parts/pause

go 1.26.0
