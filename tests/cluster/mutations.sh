#!/usr/bin/env bash
# Breaks a running lab in one place at a time and shows that exactly the scenarios that name it fail,
# then mends it by `up`. Wants ISTIOLAB (the program), LAB (its lab file), KUBECONFIG (the lab's) and
# kubectl in PATH. Each mutation is one counted test.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.." || exit 1
: "${ISTIOLAB:?the program under test}" "${KUBECONFIG:?the kubeconfig of the lab}"
lab=(${LAB:+--file "$LAB"})
logs=${LOGS:-$PWD/target/test-logs/mutations}
mkdir -p "$logs"
passed=0 failed=0

no_webhook() { kubectl delete mutatingwebhookconfiguration istio-sidecar-injector --wait; }
no_telemetry() { kubectl delete --namespace istio-system envoyfilter --all --wait; }
no_tracing() {
  kubectl apply -f - << 'YAML'
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mutation, namespace: istio-system}
spec: {tracing: [{randomSamplingPercentage: 0}]}
YAML
}
no_strictness() {
  kubectl patch --namespace istio-system peerauthentication default --type merge \
    --patch '{"spec": {"mtls": {"mode": "PERMISSIVE"}}}'
}
tracing_again() { kubectl delete --namespace istio-system telemetry mutation --wait; }
strict_again() { kubectl delete --namespace istio-system peerauthentication default --wait; }
nothing() { :; }

# Proxies let go of connections by the old configuration a second after they got the new one.
settle() { sleep 3; }

# mutation NAME TAG BREAK MEND: the scenarios of TAG, and no others, fail after BREAK.
mutation() {
  local name=$1 tag=$2 log=$logs/$1.log report=$logs/$1.json good=yes
  {
    "$3" || good="could not be made"
    settle
    "$ISTIOLAB" "${lab[@]}" test --report "json=$report"
    python3 "$here/exactly.py" "$report" "$tag" || good="was noticed by other scenarios than those of @$tag"
    "$4" && "$ISTIOLAB" "${lab[@]}" up || good="could not be mended"
    settle
    "$ISTIOLAB" "${lab[@]}" test --tags "@$tag" || good="was mended, but the scenarios of @$tag do not pass again"
  } > "$log" 2>&1
  if [[ $good == yes ]]; then
    passed=$((passed + 1))
    echo "ok      without $name exactly the scenarios of @$tag fail"
  else
    failed=$((failed + 1))
    echo "FAILED  the mutation $name $good"
    tail -n 80 "$log" | sed 's/^/        | /'
  fi
}

mutation webhook webhook no_webhook nothing
mutation telemetry telemetry no_telemetry nothing
mutation strictness strict no_strictness strict_again
mutation tracing tracing no_tracing tracing_again

echo "test result: $passed passed; $failed failed; 0 ignored;"
[[ $failed -eq 0 ]]
