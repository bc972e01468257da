#!/usr/bin/env bash
# The ten checks of bench/steps.feature as one does them by hand: kubectl, curl through `kubectl proxy`, jq, and again
# after half a second until the answer is there. Each is asked as cheaply as these tools can. `bench/steps` calls it;
# by itself it needs KUBECONFIG, and kubectl, curl and jq in PATH.
set -euo pipefail

: "${KUBECONFIG:?the kubeconfig of a lab that is up}"
work=$(mktemp -d)
proxy=
cleanup() {
  [[ -z $proxy ]] || kill "$proxy" 2> /dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

kubectl proxy --port 0 > "$work/proxy.log" &
proxy=$!
until grep -q '127.0.0.1:' "$work/proxy.log"; do sleep 0.02; done
base=http://127.0.0.1:$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' "$work/proxy.log")/api/v1/namespaces/istio-system/services

# check NAME COMMAND...: again and again for 20 s.
check() {
  local end=$((SECONDS + 20))
  until "${@:2}" > "$work/last" 2>&1; do
    [[ $SECONDS -lt $end ]] || {
      echo "not so: $1" >&2
      cat "$work/last" >&2
      exit 1
    }
    sleep 0.5
  done
}
get() { curl --silent --show-error --fail --max-time 10 "$base/$1/proxy/$2"; }

containers() {
  kubectl get pods --namespace demo --selector app=frontend --output json | jq --exit-status \
    '.items | length > 0 and all(.[].spec; (.containers | length) + ([.initContainers[]? | select(.restartPolicy == "Always")] | length) == 2)'
}
ready() {
  kubectl get pods --namespace demo --selector app=backend --output json | jq --exit-status \
    '.items | length > 0 and all(.[].status.conditions[]; .type != "Ready" or .status == "True")'
}
labelled() { [[ $(kubectl get namespace demo --output jsonpath='{.metadata.labels.istio-injection}') == enabled ]]; }
targets() {
  get prometheus:9090 'api/v1/targets?state=active' | jq --exit-status \
    '[.data.activeTargets[] | select(.labels.job == "istiod")] | length > 0 and all(.[]; .health == "up")'
}
query() { get prometheus:9090 'api/v1/query?query=count(up)' | jq --exit-status '.data.result[0].value[1] | tonumber >= 5'; }
healthy() { get grafana:3000 api/health | jq --exit-status '.database == "ok"'; }
source_there() { get grafana:3000 api/datasources | jq --exit-status 'any(.[]; .name == "Prometheus" and .type == "prometheus")'; }
dashboard() { get grafana:3000 'api/search?type=dash-db' | jq --exit-status 'any(.[]; .title == "Istiolab mesh overview")'; }
services() { get zipkin:9411 api/v2/services | jq --exit-status '["frontend.demo", "backend.demo"] - . == []'; }
proxies() { get istiod:15014 metrics | awk '/^pilot_xds[{ ]/ { sum += $NF } END { exit sum < 5 }'; }

check "every pod of frontend has 2 containers" containers
check "every pod of backend is ready" ready
check "the namespace's label" labelled
check "targets of istiod" targets
check "a query" query
check "Grafana is healthy" healthy
check "the data source" source_there
check "the dashboard" dashboard
check "Zipkin's services" services
check "proxies are connected" proxies
