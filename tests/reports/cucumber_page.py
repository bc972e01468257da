"""cucumber_page.py TOOLS MESSAGES: Cucumber's own page, made by its formatter of our messages, shows every scenario."""

import json
import os
import subprocess
import sys

from browser import Browser

tools, messages = sys.argv[1:]
page = messages + ".html"
here = os.path.dirname(os.path.abspath(__file__))
subprocess.run(["node", os.path.join(here, "formatter.cjs"), tools, messages, page], check=True, timeout=60)

lines = [json.loads(line) for line in open(messages, encoding="utf-8")]
pickles = [line["pickle"] for line in lines if "pickle" in line]
errors = []
with Browser() as browser:
    browser.look(1200, 900, "light")
    browser.open(page, settle=1.0)
    # Features that passed are folded.
    browser.run("document.querySelectorAll('[aria-expanded=false]').forEach(one => one.click())")
    browser.run("new Promise(done => setTimeout(done, 500))")
    text = browser.run("document.body.textContent")
    errors += [f"is not shown: {one['name']}" for one in pickles if one["name"] not in text]
    errors += [f"is not shown: {step['text']}" for one in pickles for step in one["steps"] if step["text"] not in text]
    errors += [f"console: {told}" for told in browser.complaints()]
    if browser.picture(messages + ".png") < 20_000:
        errors.append("the picture is blank")
print(text[:600], *errors, sep="\n")
sys.exit(bool(errors))
