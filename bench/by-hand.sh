#!/usr/bin/env bash
# The quick start as a careful user does it by hand: kind, images into the node, istioctl's manifests,
# kubectl, and curl through `kubectl proxy`. The same built images, the same objects, the same questions.
# Prints the seconds of each phase. `bench/compare` calls it; by itself it needs
#   PATH     with kind, istioctl, kubectl, docker, curl, python3
#   ISTIOLAB the program, for the list of built images
# and the node's image in the engine. Nothing is left behind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

: "${ISTIOLAB:=target/release/istiolab}"
: "${NODE_IMAGE:?the node image, as bench/compare finds it}"
: "${IMAGES:?the images that the lab runs on, as bench/compare loads them into the engine}"
readonly name=by-hand
work=$(mktemp -d)
export KUBECONFIG=$work/kubeconfig
proxy=
cleanup() {
  [[ -z $proxy ]] || kill "$proxy" 2> /dev/null || true
  kind delete cluster --name $name > /dev/null 2>&1 || true
  rm -rf "$work"
}
trap cleanup EXIT

start=$EPOCHREALTIME
mark=$start
phase() {
  local now=$EPOCHREALTIME
  awk -v n="$1" -v a="$mark" -v b="$now" 'BEGIN { printf "%-12s %6.1f\n", n, b - a }'
  mark=$now
}

cat > "$work/kind.yaml" <<'YAML'
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking: {disableDefaultCNI: true}
YAML
kind create cluster --name $name --config "$work/kind.yaml" --image "$NODE_IMAGE" --wait 120s > "$work/kind.log" 2>&1
phase cluster

# One archive of all images, which is faster than one a time.
# shellcheck disable=SC2086
kind load docker-image --name $name $IMAGES > "$work/load.log" 2>&1
phase images

kubectl create namespace istio-system > /dev/null
istioctl install --skip-confirmation --filename manifests/operator/quickstart.yaml --filename bench/operator.yaml \
  > "$work/istio.log" 2>&1
kubectl apply --filename manifests/mesh > /dev/null
phase mesh

for addon in prometheus grafana zipkin; do
  kubectl apply --namespace istio-system --filename manifests/addons/$addon > /dev/null
done
for namespace in demo plain manual untraced; do kubectl create namespace $namespace > /dev/null; done
kubectl label namespace demo untraced istio-injection=enabled > /dev/null
kubectl apply --namespace demo --filename manifests/demo > /dev/null
kubectl apply --namespace plain --filename manifests/first-istio > /dev/null
istioctl kube-inject --filename manifests/first-istio/first-istio.yaml | kubectl apply --namespace manual --filename - > /dev/null
kubectl apply --namespace untraced --filename manifests/untraced --filename manifests/first-istio > /dev/null
for namespace in istio-system demo plain manual untraced; do
  kubectl wait --namespace $namespace --for=condition=Available deployment --all --timeout=180s > /dev/null || {
    kubectl get pods --all-namespaces >&2
    kubectl get events --namespace $namespace --sort-by=.lastTimestamp | tail -n 20 >&2
    exit 1
  }
done
phase applications

kubectl proxy --port 0 > "$work/proxy.log" &
proxy=$!
until grep -q '127.0.0.1:' "$work/proxy.log"; do sleep 0.05; done
base=http://127.0.0.1:$(sed -n 's/.*127.0.0.1:\([0-9]*\).*/\1/p' "$work/proxy.log")/api/v1/namespaces
service() { curl --silent --show-error --fail --max-time 10 "$base/istio-system/services/$1/proxy/$2"; }

# eventually SECONDS COMMAND...: as a person asks again until the answer is there.
eventually() {
  local end=$((SECONDS + $1))
  until "${@:2}" > "$work/last" 2>&1; do
    [[ $SECONDS -lt $end ]] || {
      echo "not within $1 s: ${*:2}" >&2
      cat "$work/last" >&2
      exit 1
    }
    sleep 0.5
  done
}
containers() {
  local pod
  pod=$(kubectl get pods --namespace "$1" --selector "$2" --output jsonpath='{.items[0].spec.containers[*].name} {.items[0].spec.initContainers[*].name}')
  [[ " $pod " == *" istio-proxy "* ]] && echo injected || echo plain
}
[[ $(containers plain app=first-istio) == plain ]]
[[ $(containers manual app=first-istio) == injected ]]
[[ $(containers demo app=frontend) == injected ]]

# Ten requests from a pod without a proxy through the ingress gateway, by the application's own control port.
traffic() {
  curl --silent --show-error --fail --max-time 20 --header 'Content-Type: application/json' --data \
    '{"url": "http://istio-ingressgateway.istio-system/", "headers": {"host": "demo.istiolab.local"}, "count": 10}' \
    "$base/plain/services/first-istio:8081/proxy/send" | grep -q '"codes":{"200":10}'
}
counted() { service prometheus:9090 'api/v1/query?query=sum(istio_requests_total%7Bresponse_code%3D%22200%22%7D)' | grep -Eq '"value":\[[0-9.]+,"[1-9]'; }
traced() { service zipkin:9411 'api/v2/traces?limit=100' | python3 -c 'import json,sys; sys.exit(not any(len(t) >= 3 for t in json.load(sys.stdin)))'; }
charted() { service grafana:3000 api/health && service grafana:3000 api/datasources/name/Prometheus; }
eventually 60 traffic
eventually 60 counted
eventually 60 traced
eventually 60 charted
phase seen
mark=$start
phase total
