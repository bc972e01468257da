"""exactly.py REPORT TAG: the scenarios that failed in a JSON report are exactly those with the tag.

Scenarios that were skipped are a failure, too: nothing may hide behind them.
"""

import json
import sys


def main(report_file: str, tag: str) -> int:
    with open(report_file, encoding="utf-8") as file:
        report = json.load(file)
    name = lambda scenario: f"{scenario['feature']}: {scenario['name']}"
    scenarios = report["scenarios"]
    failed = {name(one) for one in scenarios if one["status"] == "failed"}
    skipped = {name(one) for one in scenarios if one["status"] == "skipped"}
    tagged = {name(one) for one in scenarios if tag in one["tags"]}
    problems = [f"did not fail: {one}" for one in sorted(tagged - failed)]
    problems += [f"failed without reason: {one}" for one in sorted(failed - tagged)]
    problems += [f"was skipped: {one}" for one in sorted(skipped)]
    for one in scenarios:
        # A failure must be readable by itself: it says what was expected and what was seen.
        if one["status"] == "failed" and "\n" not in (one.get("error") or ""):
            problems.append(f"failed without saying why: {name(one)}")
    if not tagged:
        problems.append(f"no scenario has the tag @{tag}")
    print(f"{len(scenarios)} scenarios, {len(failed)} failed, {len(tagged)} have @{tag}")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
