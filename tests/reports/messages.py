"""messages.py TOOLS FILE: every message has the shape that Cucumber's own types give it, nothing that they don't know,
and leads to others that are there."""

import json
import sys

tools, file = sys.argv[1:]
sys.path.insert(0, f"{tools}/python")
from cucumber_messages import Envelope, message_converter  # noqa: E402

errors = []
lines = [json.loads(line) for line in open(file, encoding="utf-8")]
for number, line in enumerate(lines, 1):
    try:
        # What the types don't know is gone after the way through them.
        again = message_converter.to_dict(message_converter.from_dict(line, Envelope))
    except (TypeError, ValueError) as error:
        errors.append(f"{number}: {error}: {json.dumps(line)[:200]}")
        continue
    if again != line:
        errors.append(f"{number}: is not what Cucumber's types make of it:\n  {json.dumps(line)}\n  {json.dumps(again)}")

of = lambda kind: [line[kind] for line in lines if kind in line]
ids = lambda all: {one["id"] for one in all}
pickles, cases, started, hooks = of("pickle"), of("testCase"), of("testCaseStarted"), of("hook")
steps = [step for case in cases for step in case["testSteps"]]
ast = {node["scenario"]["id"] for document in of("gherkinDocument") for node in document["feature"]["children"]}
checks = {
    "ids are unique": all(len(ids(all)) == len(all) for all in [pickles, cases, started, hooks, steps]),
    "pickles lead to documents": {id for pickle in pickles for id in pickle["astNodeIds"]} <= ast,
    "cases lead to pickles": {case["pickleId"] for case in cases} == ids(pickles),
    "steps lead to pickles' steps or hooks": all(
        step.get("pickleStepId") in {one["id"] for pickle in pickles for one in pickle["steps"]}
        or step.get("hookId") in ids(hooks)
        for step in steps
    ),
    "attempts lead to cases": {one["testCaseId"] for one in started} == ids(cases),
    "attempts end": sorted(one["testCaseStartedId"] for one in of("testCaseFinished")) == sorted(ids(started)),
    "ended steps are steps": {one["testStepId"] for one in of("testStepFinished")} <= ids(steps),
    "only the last attempt is not tried again": sum(not one["willBeRetried"] for one in of("testCaseFinished")) == len(cases),
}
errors += [f"not so: {what}" for what, holds in checks.items() if not holds]
print(*errors, sep="\n")
sys.exit(bool(errors))
