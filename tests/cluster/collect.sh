#!/usr/bin/env bash
# Plants secrets in a running lab in every place where they are found in the wild, collects a debug bundle and looks
# for them in every file; then does the same while the API server is dead, and when there is no lab at all. Wants
# ISTIOLAB (the program), LAB (its lab file), KUBECONFIG (the lab's) and kubectl in PATH. The lab is whole again
# afterwards. Each check is one counted test.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
: "${ISTIOLAB:?the program under test}" "${KUBECONFIG:?the kubeconfig of the lab}" "${LAB:?the lab file}"
logs=${LOGS:-$PWD/target/test-logs/collect}
rm -rf "$logs"
mkdir -p "$logs"
name=$(sed -n 's/^name: //p' "$LAB")
readonly node=$name-control-plane
passed=0 failed=0

check() {
  local title=$1 log=$logs/$((passed + failed)).log
  if "${@:2}" > "$log" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $title"
  else
    failed=$((failed + 1))
    echo "FAILED  $title"
    tail -n 40 "$log" | sed 's/^/        | /'
  fi
}

# Marks that no tool writes by itself; each is planted in another way.
plant() {
  kubectl create namespace planted
  kubectl apply -f - << 'YAML'
apiVersion: v1
kind: Secret
metadata: {name: planted, namespace: planted}
stringData: {word: c4n4ry-secret, key: "-----BEGIN PRIVATE KEY-----\nc4n4rykeyc4n4rykeyc4n4rykey\n-----END PRIVATE KEY-----\n"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: planted, namespace: planted}
data: {settings: "db.password=c4n4ry-setting\nmode=fast", copy: "it is c4n4ry-secret"}
---
apiVersion: v1
kind: Pod
metadata: {name: talker, namespace: planted}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  containers:
  - name: talker
    image: istiolab.local/istio/proxyv2:1.31-dev
    command: [bash, -c, 'echo "the secret is c4n4ry-secret"; echo "Authorization: Bearer c4n4ry-bearer-token"; echo "$COPY"; sleep 600']
    env: [{name: API_TOKEN, value: c4n4ry-env}, {name: COPY, value: c4n4ry-env}]
    volumeMounts: [{name: planted, mountPath: /planted}]
  volumes: [{name: planted, secret: {secretName: planted}}]
---
apiVersion: v1
kind: Pod
metadata: {name: imageless, namespace: planted}
spec: {containers: [{name: c, image: "registry.invalid/c4n4ry-secret:1"}]}
YAML
  # The journal of a node's own service.
  docker exec "$node" systemd-run --quiet --unit=kubelet-c4n4ry bash -c 'echo "token=c4n4ry-journal"'
  kubectl wait --namespace planted --for=condition=Ready pod/talker --timeout=60s || return 1
  for _ in {1..120}; do
    kubectl get pod --namespace planted imageless --output jsonpath='{.status.containerStatuses[0].state.waiting.reason}' |
      grep -E 'ErrImagePull|ImagePullBackOff' && return 0
    sleep 0.5
  done
  return 1
}

# collect FOLDER: a bundle, unpacked there.
collect() {
  local begin=$EPOCHREALTIME
  rm -rf "$1" "$1.tar.gz"
  "$ISTIOLAB" collect --file "$LAB" --to "$1.tar.gz" || return 1
  awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "it took %.1f s\n", b - a }'
  mkdir -p "$1"
  tar --extract --file "$1.tar.gz" --directory "$1" --strip-components 1
  du -sh "$1" "$1.tar.gz"
  [[ $(stat --format %a "$1.tar.gz") == 600 ]]
}

# Nothing of what was planted is there, plain or in base64.
clean() {
  ! grep --recursive --text -E 'c4n4ry-(secret|setting|bearer|env|journal)|c4n4rykey|YzRuNHJ5' "$1"
}

whole() {
  local file pod
  for file in index.html summary.json lab/lab.yaml lab/journal.json lab/resolved.json lab/plan.json events/planted.txt \
    logs/planted/talker/talker.log objects/planted/pod.yaml objects/_cluster/namespace.yaml \
    "objects/_cluster/mutatingwebhookconfiguration.admissionregistration.k8s.io.yaml" \
    "nodes/$node/"{kubelet.log,containerd.log,containers.txt,images.txt,container.json,versions.txt}; do
    [[ -s $1/$file ]] || { echo "$file is not there" && return 1; }
  done
  pod=$(kubectl get pod --namespace demo --selector app=frontend --output name | head -n 1)
  for file in config_dump.json clusters.txt stats.txt server_info.json; do
    [[ -s $1/proxies/demo/${pod#pod/}/$file ]] || { echo "$file of $pod is not there" && return 1; }
  done
  grep -q "${pod#pod/}" "$1"/istiod/istio-system/*/syncz.json || { echo "istiod does not know $pod" && return 1; }
  python3 - "$1" << 'PY'
import json, sys
summary = json.load(open(sys.argv[1] + "/summary.json"))
first = summary["findings"][0]
assert first["object"] == "Pod planted/imageless" and first["grade"] == "failed", summary["findings"]
assert "Image" in first["cause"] or "ErrImagePull" in first["cause"], first
print(json.dumps(summary["missing"], indent=1), json.dumps(summary["removed"], indent=1))
PY
}

server_gone() {
  docker exec "$node" mv /etc/kubernetes/manifests/kube-apiserver.yaml /root/ || return 1
  for _ in {1..120}; do
    kubectl get --raw /readyz --request-timeout 2s || return 0
    sleep 0.5
  done
  return 1
}

server_back() {
  docker exec "$node" mv /root/kube-apiserver.yaml /etc/kubernetes/manifests/ || return 1
  for _ in {1..240}; do
    kubectl get --raw /readyz --request-timeout 2s && return 0
    sleep 0.5
  done
  return 1
}

without_server() {
  local file
  for file in index.html lab/journal.json "nodes/$node/"{kubelet.log,containerd.log,containers.txt,pod-logs.txt}; do
    [[ -s $1/$file ]] || { echo "$file is not there" && return 1; }
  done
  grep -q 'the API server does not answer' "$1/index.html"
}

# A lab that was never made.
elsewhere() {
  sed "s/^name: .*/name: never-made/; s|\.\./|$PWD/|" "$LAB" > "$logs/never.yaml"
  LAB=$logs/never.yaml collect "$1"
}

check "secrets are planted" plant
check "a bundle is collected" collect "$logs/alive"
check "everything is in it, and what is wrong comes first" whole "$logs/alive"
check "no secret is in it" clean "$logs/alive"
check "the API server is taken away" server_gone
check "a bundle is collected without it" collect "$logs/dead"
check "what nodes know is in it" without_server "$logs/dead"
check "no secret is in it, either" clean "$logs/dead"
check "the API server is back" server_back
check "a lab that was never made has a bundle, too" elsewhere "$logs/never"
kubectl delete namespace planted --wait > "$logs/mended.log" 2>&1

echo "test result: $passed passed; $failed failed; 0 ignored;"
[[ $failed -eq 0 ]]
