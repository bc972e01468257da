#!/usr/bin/env bash
# The cluster tier: the quick start for real, on kind, from parts. Called by ./test, which sets ISTIOLAB to
# the program under test and puts kind and kube (kubectl) in PATH. Each check is one counted test.
# ISTIOLAB_TEST_LAB names another lab file, such as a copy under another name where the quick start is up.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

: "${ISTIOLAB:?is set by ./test}"
readonly logs=$PWD/target/test-logs/cluster
rm -rf "$logs"
mkdir -p "$logs/bin"
ln -sf "$(command -v kube)" "$logs/bin/kubectl"
# State of its own; the cache of built parts is the user's.
export ISTIOLAB_STATE=$logs/state KUBECONFIG=$logs/user-kubeconfig
readonly lab_file=${ISTIOLAB_TEST_LAB:-scenarios/quickstart.yaml}
lab=$(sed -n 's/^name: //p' "$lab_file")
readonly lab lab_kubeconfig=$ISTIOLAB_STATE/labs/$lab/kubeconfig
printf 'apiVersion: v1\nkind: Config\ncurrent-context: mine\n' > "$KUBECONFIG"

passed=0 failed=0

# check NAME COMMAND...: counts it, and shows the end of its output if it fails.
check() {
  local name=$1 log begin=$EPOCHREALTIME
  log=$logs/$(printf '%02d' $((passed + failed))).log
  if "${@:2}" > "$log" 2>&1; then
    passed=$((passed + 1))
    echo "ok      $name ($(since "$begin") s)"
  else
    failed=$((failed + 1))
    echo "FAILED  $name ($(since "$begin") s)"
    tail -n 60 "$log" | sed 's/^/        | /'
  fi
}

since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# exits CODE COMMAND...: the command must end with this code.
exits() {
  local want=$1 got=0
  "${@:2}" || got=$?
  [[ $got -eq $want ]] || {
    echo "exit code $got instead of $want"
    return 1
  }
}

# within SECONDS COMMAND...: it must succeed, and at least one of three times in this time.
within() {
  local limit=$1 begin took
  for _ in 1 2 3; do
    begin=$EPOCHREALTIME
    "${@:2}" || return 1
    took=$(since "$begin")
    echo "it took $took s"
    awk -v took="$took" -v limit="$limit" 'BEGIN { exit !(took <= limit) }' && return 0
  done
  return 1
}

istiolab() { "$ISTIOLAB" "$@" --file "$lab_file"; }

# What of ours the engine has.
leftovers() {
  docker ps --all --filter label="istiolab.dev/lab=$lab" --format '{{.Names}}'
  docker ps --all --filter label="io.x-k8s.kind.cluster=$lab" --format '{{.Names}}'
  docker network ls --filter label="istiolab.dev/lab=$lab" --format 'network {{.Name}}'
  docker volume ls --filter label="istiolab.dev/lab=$lab" --format 'volume {{.Name}}'
}

nothing_left() {
  local left
  left=$(leftovers)
  echo "$left"
  [[ -z $left ]] || return 1
  [[ ! -e $lab_kubeconfig ]] || { echo "$lab_kubeconfig is still there" && return 1; }
}

# The reports of a run say that it came to its end, with scenarios, none of which failed.
reports_are_good() {
  python3 - "$1" "$2" << 'PY'
import json, sys, xml.etree.ElementTree as xml
report = json.load(open(sys.argv[1]))
assert report["complete"] and report["exitCode"] == 0, report["error"]
assert report["totals"]["passed"] >= 10 and report["totals"]["failed"] == 0, report["totals"]
assert report["images"], "no image is named"
assert all(digest.startswith("sha256:") for digest in report["images"].values())
suites = xml.parse(sys.argv[2]).getroot()
cases = suites.findall("./testsuite[@file]/testcase")
assert len(cases) == len(report["scenarios"]), (len(cases), len(report["scenarios"]))
assert not suites.findall(".//failure") and not suites.findall(".//error")
for phase in report["phases"]:
    print("%-14s %6.1f %6.1f" % (phase["name"], phase["from"], phase["to"]))
print(report["totals"])
PY
}

unchanged_kubeconfig() { grep -qx 'current-context: mine' "$KUBECONFIG" && [[ $(wc -l < "$KUBECONFIG") -eq 3 ]]; }

# interrupt SIGNAL SECONDS CODE: an `up` that gets the signal after this time ends with this code.
interrupt() {
  local pid got=0
  "$ISTIOLAB" up --file "$lab_file" &
  pid=$!
  sleep "$2"
  kill -s "$1" "$pid"
  wait "$pid" || got=$?
  [[ $got -eq $3 ]] || { echo "exit code $got instead of $3" && return 1; }
}

somebody_elses() {
  local image
  image=$(docker image ls --format '{{.Repository}}:{{.Tag}}' | grep -m 1 '^istiolab.local/kind/node')
  docker create --name "$lab-control-plane" --label "io.x-k8s.kind.cluster=$lab" \
    --label io.x-k8s.kind.role=control-plane "$image"
}

down_leaves_it() {
  istiolab down
  docker inspect "$lab-control-plane"
}

# An application that is no longer in the lab file is planned to go, goes, and comes back.
left_the_file() {
  local copy=$logs/left.yaml kubectl=("$logs/bin/kubectl" --kubeconfig "$lab_kubeconfig")
  sed "s|\.\./|$PWD/|; /name: untraced/,/first-istio/d" "$lab_file" > "$copy"
  "$ISTIOLAB" plan --file "$copy" | tee "$logs/left.plan"
  grep -q 'default/istiolab-application-untraced' "$logs/left.plan" || return 1
  "$ISTIOLAB" up --file "$copy" || return 1
  "${kubectl[@]}" get namespace untraced && { echo "its namespace is still there" && return 1; }
  "$ISTIOLAB" plan --file "$copy" --exit-code && istiolab up && "${kubectl[@]}" get namespace untraced
}

status_is_json() { istiolab status -o json | python3 -m json.tool; }

# A pod whose image nobody has; its node must have tried to get it.
strange_pod() {
  local kubectl=("$logs/bin/kubectl" --kubeconfig "$ISTIOLAB_STATE/labs/two-nodes/kubeconfig")
  "${kubectl[@]}" run strange --image=registry.invalid/strange:1.0 || return 1
  for _ in {1..120}; do
    "${kubectl[@]}" get pod strange --output jsonpath='{.status.containerStatuses[0].state.waiting.reason}' |
      grep -E 'ErrImagePull|ImagePullBackOff' && return 0
    sleep 0.5
  done
  return 1
}

# On a machine that has nothing but an engine and the docker program.
bare() {
  mkdir -p "$air/bin"
  ln -sf "$(command -v docker)" "$air/bin/docker"
  env -i HOME="$air" PATH="$air/bin" ISTIOLAB_CACHE="$air/cache" ISTIOLAB_STATE="$air/state" "$ISTIOLAB" "$@" \
    --file "$air/lab.yaml"
}

bundled() {
  "$ISTIOLAB" images lock --file "$air/lab.yaml" || return 1
  "$ISTIOLAB" images bundle "$air/lab.tar" --file "$air/lab.yaml" || return 1
  "$ISTIOLAB" images bundle "$air/again.tar" --file "$air/lab.yaml" || return 1
  cmp "$air/lab.tar" "$air/again.tar" || return 1
  rm "$air/again.tar"
  "$ISTIOLAB" images verify "$air/lab.tar"
}

# A node loses an image; it gets it back from the file.
reloaded() {
  docker exec air-worker ctr -n k8s.io images rm istiolab.local/demo:0.1.0 || return 1
  bare images load "$air/lab.tar" | tee "$air/loaded"
  grep -qx '  istiolab.local/demo:0.1.0' "$air/loaded" && bare images verify --lab --offline | tee "$air/proof" &&
    grep -Eq '^istiolab.local/demo:0.1.0 .* 2 same ' "$air/proof"
}

# mirrored: brings the lab into a registry, then lets the bare machine take it from there.
mirrored() {
  local pid status
  printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: "127.0.0.1:5917"}\n' "$air/registry" \
    > "$air/registry.yml"
  OTEL_TRACES_EXPORTER=none registry serve "$air/registry.yml" > "$air/registry.log" 2>&1 &
  pid=$!
  "$ISTIOLAB" images mirror --from "$air/lab.tar" --to localhost:5917/lab &&
    printf '\nimages: {source: registry, registry: "localhost:5917/lab"}\n' >> "$air/lab.yaml" &&
    rm -rf "$air/cache" && bare run
  status=$?
  kill "$pid"
  return $status
}

readonly air=$logs/air
mkdir -p "$air"
sed "s|\.\./|$PWD/|; s/^name: .*/name: air/; s|^applications:|&\n  - name: served\n    objects: [$PWD/tests/cluster/served.yaml]|" \
  scenarios/two-nodes.yaml > "$air/lab.yaml"

if [[ -n $(leftovers) ]]; then
  echo "FAILED  the machine has a lab or cluster '$lab' already; take it down first: istiolab down"
  echo "test result: 0 passed; 1 failed; 0 ignored;"
  exit 1
fi
# Whatever happens, the machine is left as it was found.
at_last() {
  local other
  istiolab down
  for other in two-nodes tasks bookinfo; do "$ISTIOLAB" down --file "scenarios/$other.yaml"; done
  bare down
  rm -rf "$air"
}
trap 'at_last > "$logs/last-down.log" 2>&1' EXIT

readonly json=$logs/run.json junit=$logs/run.xml
check "run brings the quick start up and its scenarios are green" \
  istiolab run --yes --report "json=$json,junit=$junit"
check "the reports are complete and agree" reports_are_good "$json" "$junit"
check "the user's kubeconfig is untouched" unchanged_kubeconfig
check "up on a lab that is up takes under 2 s" within 2 istiolab up
check "status finds everything in its place" istiolab status
check "status as JSON is JSON" status_is_json
check "an application that left the lab file is removed, and comes back" left_the_file

# Each mutation is a counted test. One of each kind: injection, metrics, traces; --all takes a quarter of an hour.
istiolab selftest mutate --yes --only webhook,telemetry,sampling > "$logs/mutations.txt" 2> "$logs/mutations.log" ||
  tail -n 60 "$logs/mutations.log" | sed 's/^/        | /'
cat "$logs/mutations.txt"
proven=$(grep -c '^ok ' "$logs/mutations.txt")
mutations=$(grep -c '^\(FAILED\|skipped\) ' "$logs/mutations.txt")
# One that could not go on has told of none.
[[ $((proven + mutations)) -gt 0 ]] || mutations=1
echo "test result: $proven passed; $mutations failed; 0 ignored;"
# Prints a line of results of its own, which ./test counts too.
LAB=$lab_file KUBECONFIG=$lab_kubeconfig LOGS=$logs/collect PATH=$logs/bin:$PATH tests/cluster/collect.sh
collected=$?

check "down takes the lab down" istiolab down
check "nothing is left" nothing_left
check "down without a lab is no failure" istiolab down

check "a cluster of this name that is not ours: made" somebody_elses
check "up refuses to touch it" exits 77 istiolab up
check "down leaves it alone" down_leaves_it
check "a cluster of this name that is not ours: removed" docker rm --force "$lab-control-plane"

check "up that is interrupted says so" interrupt INT 6 130
check "up that is killed is killed" interrupt KILL 12 137
check "up goes on from there" istiolab up
check "and the lab is whole" istiolab test
check "down takes it down, too" istiolab down
check "nothing is left of it" nothing_left

check "pods of a lab of two nodes reach each other, offline" "$ISTIOLAB" run --file scenarios/two-nodes.yaml --offline
check "an image from elsewhere is asked for" strange_pod
check "and told" exits 77 "$ISTIOLAB" test --file scenarios/two-nodes.yaml --offline
check "its down takes it down" "$ISTIOLAB" down --file scenarios/two-nodes.yaml

check "the classic tasks hold" "$ISTIOLAB" run --file scenarios/tasks.yaml
check "the tasks' lab is taken down" "$ISTIOLAB" down --file scenarios/tasks.yaml
check "Bookinfo's scenarios hold" "$ISTIOLAB" run --file scenarios/bookinfo.yaml
check "Bookinfo's lab is taken down" "$ISTIOLAB" down --file scenarios/bookinfo.yaml

check "a lab in one file, twice the same bytes" bundled
check "a bare machine makes the lab of the file, offline" bare run --bundle "$air/lab.tar" --offline --frozen
check "every image is the lock's in every place" bare images verify --lab --offline "$air/lab.tar"
check "an image that a node lost comes back from the file" reloaded
check "its down takes it down, too" bare down
check "a bare machine makes the lab of what a registry has" mirrored
check "its down takes it down as well" bare down

# Prints a line of results of its own, too.
LAB='' READY=1 LOGS=$logs/kills PATH=$logs/bin:$PATH tests/cluster/kills.sh "${ISTIOLAB_TEST_KILLS:-2}"
kills=$?

echo "test result: $passed passed; $failed failed; 0 ignored;"
[[ $failed -eq 0 && $mutations -eq 0 && $collected -eq 0 && $kills -eq 0 ]]
