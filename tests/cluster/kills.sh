#!/usr/bin/env bash
# kill -9 at points spread over `istiolab up` and `istiolab down`, each followed by the same command again: the lab
# must be whole, or gone, and nothing else may be touched.
#
#   tests/cluster/kills.sh [N]     N kills, half of them in up, half in down; 30 if not given
#
# Wants ISTIOLAB (the program); LAB names a lab file, a copy of the quick start under a name of its own if not given.
# READY says that all that a lab needs is built and loaded.
# Each kill is one counted test; a table is printed at the end.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
: "${ISTIOLAB:?the program under test}"
readonly kills=${1:-30}
logs=${LOGS:-$PWD/target/test-logs/kills}
rm -rf "$logs"
mkdir -p "$logs"
export ISTIOLAB_STATE=$logs/state
if [[ -z ${LAB:-} ]]; then
  LAB=$logs/lab.yaml
  sed "s|\.\./|$PWD/|; s/^name: .*/name: kills/" scenarios/quickstart.yaml > "$LAB"
fi
lab=$(sed -n 's/^name: //p' "$LAB")
readonly lab LAB
passed=0 failed=0 rows=() how='' took=0

istiolab() { "$ISTIOLAB" "$@" --file "$LAB"; }
since() { awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }'; }

# What of the lab the engine has.
things() {
  docker ps --all --filter label="istiolab.dev/lab=$lab" --format 'container {{.Names}}'
  docker ps --all --filter label="io.x-k8s.kind.cluster=$lab" --format 'container {{.Names}}'
  docker network ls --filter label="istiolab.dev/lab=$lab" --format 'network {{.Name}}'
  docker volume ls --filter label="istiolab.dev/lab=$lab" --format 'volume {{.Name}}'
}

# Everything else that the engine has; a lab that is taken down leaves images, which are not the lab's.
others() {
  {
    docker ps --all --format '{{.ID}} {{.Names}}'
    docker network ls --format '{{.ID}} {{.Name}}'
    docker volume ls --format '{{.Name}}'
  } | grep -v -e "[ ]$lab" -e "istiolab-$lab" -e "^$lab" | sort
}

# In the lab: objects that are nobody's set.
foreign() {
  kubectl --kubeconfig "$ISTIOLAB_STATE/labs/$lab/kubeconfig" get configmap foreign --namespace default \
    --output jsonpath='{.metadata.uid} {.metadata.resourceVersion} {.data.a}'
}
make_foreign() {
  kubectl --kubeconfig "$ISTIOLAB_STATE/labs/$lab/kubeconfig" create configmap foreign --namespace default \
    --from-literal=a=b > /dev/null
}

# after SECONDS VERB: starts it and kills it then, as `kill -9` of the program does: what it has started (kind, docker)
# goes on or dies as it would for a user. Sets `how` and `took`.
after() {
  local pid begin=$EPOCHREALTIME
  "$ISTIOLAB" "$2" --file "$LAB" > "$logs/killed.log" 2>&1 &
  pid=$!
  how=ended
  while kill -0 "$pid" 2> /dev/null; do
    took=$(since "$begin")
    if awk -v took="$took" -v at="$1" 'BEGIN { exit !(took >= at) }'; then
      kill -9 "$pid" 2> /dev/null && how=killed
      break
    fi
    sleep 0.05
  done
  wait "$pid" 2> /dev/null
}

# row VERB SECONDS HOW AGAIN RESULT
row() { rows+=("$(printf '%-5s %6s s  %-7s %7s s  %s' "$@")"); }

# counted RESULT: counts it; anything but "whole" or "gone" is a failure.
counted() {
  if [[ $1 == whole || $1 == gone ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
}

# A moment in the $1th of $2 parts of a time of $3 seconds, at random: another one each time that this is run.
point() { awk -v i="$1" -v n="$2" -v t="$3" -v r="$RANDOM" 'BEGIN { printf "%.2f", t * (i - 1 + r / 32768) / n }'; }

if [[ -n $(things) ]]; then
  echo "FAILED  the machine has a lab '$lab' already; take it down first"
  echo "test result: 0 passed; 1 failed; 0 ignored;"
  exit 1
fi
trap '{ istiolab down; } > "$logs/last-down.log" 2>&1' EXIT

readonly each=$(((kills + 1) / 2))
# The first time may build and load what is missing.
rounds=(again)
[[ -n ${READY:-} ]] || rounds=(first again)
for _ in "${rounds[@]}"; do
  begin=$EPOCHREALTIME
  istiolab up > "$logs/up.log" 2>&1 || { tail -n 40 "$logs/up.log"; exit 1; }
  up_takes=$(since "$begin")
  begin=$EPOCHREALTIME
  istiolab down > "$logs/down.log" 2>&1 || { tail -n 40 "$logs/down.log"; exit 1; }
  down_takes=$(since "$begin")
done
before=$(others)
echo "undisturbed: up $up_takes s, down $down_takes s"

for ((number = 1; number <= each; number++)); do
  # up, killed, up again.
  at=$(point "$number" "$each" "$up_takes")
  after "$at" up
  # On a machine that has become faster, the points that are left move closer.
  [[ $how == killed ]] || up_takes=$took
  begin=$EPOCHREALTIME
  result=whole
  istiolab up > "$logs/up-$number.log" 2>&1 || result="up again fails, see up-$number.log"
  again=$(since "$begin")
  if [[ $result == whole ]]; then
    istiolab up -q > "$logs/third-$number.log" 2>&1 || result="a third up fails"
    istiolab status > "$logs/status-$number.log" 2>&1 || result="status finds it broken, see status-$number.log"
    make_foreign && stamp=$(foreign)
    istiolab up -q >> "$logs/third-$number.log" 2>&1
    [[ $(foreign) == "$stamp" ]] || result="a foreign object was touched"
  fi
  [[ $(things | sort | uniq -d) == "" ]] || result="something is there twice"
  counted "$result"
  row up "$at" "$how" "$again" "$result"
  echo "${rows[-1]}"

  # down, killed, down again. Nearly all of it is the removal of the node's container.
  at=$(point "$number" "$each" "$down_takes")
  after "$at" down
  [[ $how == killed ]] || down_takes=$took
  begin=$EPOCHREALTIME
  result=gone
  istiolab down > "$logs/down-$number.log" 2>&1 || result="down again fails, see down-$number.log"
  again=$(since "$begin")
  left=$(things)
  [[ -z $left ]] || result="left: $left"
  [[ ! -e $ISTIOLAB_STATE/labs/$lab ]] || result="its state is still there"
  [[ $(others) == "$before" ]] || result="something else in the engine changed"
  counted "$result"
  row down "$at" "$how" "$again" "$result"
  echo "${rows[-1]}"
done

echo
echo "killed by kill -9, then the same command again ($up_takes s and $down_takes s undisturbed)"
echo "verb   killed at  how      again after  the lab is then"
printf '%s\n' "${rows[@]}"
echo "test result: $passed passed; $failed failed; 0 ignored;"
[[ $failed -eq 0 ]]
