"""junit.py TOOLS FILE: the report follows the schema of Jenkins' xUnit plugin, and its numbers agree with it."""

import sys
import xml.etree.ElementTree as xml

tools, file = sys.argv[1:]
sys.path.insert(0, f"{tools}/python")
import xmlschema  # noqa: E402

errors = [f"{error.path}: {error.reason}" for error in xmlschema.XMLSchema(f"{tools}/junit-10.xsd").iter_errors(file)]
root = xml.parse(file).getroot()
for suite in [root, *root.iter("testsuite")]:
    cases = list(suite.iter("testcase"))
    for attribute, element in [("failures", "failure"), ("errors", "error"), ("skipped", "skipped")]:
        said, there = suite.get(attribute), sum(case.find(element) is not None for case in cases)
        if said is not None and int(said) != there:
            errors.append(f"{suite.tag} {suite.get('name')} says {said} {attribute}, and has {there}")
    if int(suite.get("tests")) != len(cases):
        errors.append(f"{suite.tag} {suite.get('name')} says {suite.get('tests')} tests, and has {len(cases)}")
print(*errors, sep="\n")
sys.exit(bool(errors))
