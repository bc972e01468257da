"""reviews.py SAMPLE LIBERTY: Open Liberty with Bookinfo's reviews, and only what these need, into the working folder.

SAMPLE is the folder of the reviews in Istio's module, LIBERTY the archive of the whole server.
"""

import glob
import os
import shutil
import subprocess
import sys
import zipfile

SAMPLE, LIBERTY = sys.argv[1:]
MAIN = SAMPLE + "/reviews-application/src/main"
ARCHIVE = "reviews-application-1.0.war"
# In files that `java @FILE` reads, beside those that Liberty itself has for newer virtual machines.
OPTIONS = [
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-Xmx96m",
    "-Xss512k",
    "-javaagent:/opt/ol/wlp/bin/tools/ws-javaagent.jar",
    "-Djava.awt.headless=true",
    "-Djdk.attach.allowAttachSelf=true",
]


def unpack(archive, folder):
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder)


def application(server):
    """Compiles the service against the interfaces that Liberty has, and packs it."""
    interfaces = glob.glob("all/wlp/dev/api/spec/*jaxrs.2.0_*.jar") + glob.glob("all/wlp/dev/api/spec/*jsonp.1.0_*.jar")
    if len(interfaces) != 2:
        sys.exit(f"Liberty has other interfaces than expected: {interfaces}")
    sources = glob.glob(MAIN + "/java/**/*.java", recursive=True)
    command = ["javac", "-nowarn", "-proc:none", "--release", "11", "-cp", ":".join(interfaces), "-d", "classes"]
    subprocess.run([*command, *sorted(sources)], check=True)
    os.makedirs(server + "/apps")
    with zipfile.ZipFile(f"{server}/apps/{ARCHIVE}", "w", zipfile.ZIP_DEFLATED) as war:
        for folder, place in [(MAIN + "/webapp", ""), ("classes", "WEB-INF/classes/")]:
            for path in sorted(glob.glob(folder + "/**", recursive=True)):
                if os.path.isfile(path):
                    with open(path, "rb") as file:
                        war.writestr(zipfile.ZipInfo(place + os.path.relpath(path, folder)), file.read())
    shutil.rmtree("classes")


def main():
    unpack(LIBERTY, "all")
    server = "all/wlp/usr/servers/defaultServer"
    application(server)
    shutil.copyfile(SAMPLE + "/reviews-wlpcfg/servers/LibertyProjectServer/server.xml", server + "/server.xml")
    # Liberty's own way to leave out what a server's features do not need: a tenth is left.
    archive = os.path.abspath("small.zip")
    package = ["sh", "all/wlp/bin/server", "package", "defaultServer", "--include=minify", "--archive=" + archive]
    subprocess.run(package, check=True, stdout=sys.stderr)
    shutil.rmtree("all")
    unpack(archive, ".")
    os.remove(archive)
    with open("options", "w") as file:
        file.write("\n".join(OPTIONS) + "\n")


main()
