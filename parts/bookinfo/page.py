"""page.py SAMPLE PYTHON: the packages of Bookinfo's page, and compiled modules, into the working folder.

SAMPLE is the page's folder in Istio's module: its requirements name every package with its checksums. PYTHON is a tar
of the interpreter that the image has. What is imported is compiled by that interpreter here, since it can't write in
the image, and would compile everything anew at each start.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

SAMPLE, PYTHON = sys.argv[1:]
VERSION = "3.11"
HERE = os.getcwd()
# Named by the requirements, imported by nothing.
UNUSED = {"dominate", "flask-bootstrap", "flask-json", "future", "visitor"}
# Published as sources alone; setuptools, which the requirements name too, makes it importable.
SOURCE = "json2html"
BUILDER = ["setuptools*", "pkg_resources", "_distutils_hack", "distutils-precedence.pth", "bin"]


def requirements():
    """Returns the lines of each requirement, by its package."""
    found, name = {}, None
    with open(SAMPLE + "/requirements.txt") as file:
        for line in file:
            if line[0].isalnum():
                name = line.split("==")[0]
            if name and not line.lstrip().startswith("#"):
                found[name] = found.get(name, "") + line
    return found


def install(lines, *options, **environment):
    """Installs into `lib` what the lines require, each checked, and tells what it was."""
    with open("wanted.txt", "w") as file:
        file.writelines(lines)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--no-compile"]
    command += ["--target", "lib", "--report", "report.json", *options, "-r", "wanted.txt"]
    subprocess.run(command, check=True, env={**os.environ, **environment})
    with open("report.json") as file, open(os.environ["MADE_OF"], "a") as made_of:
        for item in json.load(file)["install"]:
            sha256 = item["download_info"]["archive_info"]["hashes"]["sha256"]
            made_of.write(f"pypi {item['metadata']['name']}=={item['metadata']['version']} sha256:{sha256}\n")
    os.remove("wanted.txt")
    os.remove("report.json")


def packages():
    wanted = requirements()
    wheels = ["--only-binary=:all:", "--implementation", "cp", "--python-version", VERSION]
    for platform in ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]:
        wheels += ["--platform", platform]
    install([text for name, text in wanted.items() if name not in UNUSED | {SOURCE}], *wheels)
    install([wanted[SOURCE]], "--no-build-isolation", "--use-pep517", PYTHONPATH=HERE + "/lib")
    for pattern in BUILDER:
        for path in pathlib.Path("lib").glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def compiled():
    os.mkdir("python")
    subprocess.run(["tar", "-xf", PYTHON, "-C", "python"], check=True)
    home = HERE + "/python/usr"
    environment = {"PATH": os.environ["PATH"], "PYTHONHOME": home, "PYTHONPATH": HERE + "/lib"}
    environment["LD_LIBRARY_PATH"] = home + "/lib/x86_64-linux-gnu"
    interpreter = [f"{home}/bin/python{VERSION}", "-B"]

    def compile(folder, strip, place):
        # Valid without a look at the sources. What is not of this version's language is left out, and never imported.
        options = ["-q", "-q", "--invalidation-mode", "unchecked-hash", "-s", strip, "-p", place]
        subprocess.run([*interpreter, "-m", "compileall", *options, folder], env=environment)

    library = f"{home}/lib/python{VERSION}"
    compile(library, HERE + "/python", "/")
    for file in pathlib.Path(library).rglob("*.pyc"):
        target = pathlib.Path("compiled") / file.relative_to(library)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    compile("lib", HERE, "/opt/microservices")
    # That nothing is missing shows here rather than in a cluster.
    subprocess.run(
        [*interpreter, "-c", "import gevent, gunicorn.workers.ggevent, productpage"],
        env={**environment, "PYTHONPATH": f"{HERE}/lib:{SAMPLE}"},
        check=True,
    )
    shutil.rmtree("python")


packages()
compiled()
