#!/usr/bin/env bash
# tools.sh FOLDER: brings what the tests of reports read them with, from package registries: a validator of XML
# schemas and the schema of Jenkins' xUnit plugin (pytest's sources carry it), Cucumber's message types and page,
# and Debian's Chromium, unless there is one. What is there stays.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)

stamp=$(sha256sum < "$here/tools.sh")
if [[ $(cat "$folder/stamp" 2> /dev/null) != "$stamp" ]]; then
  rm -rf "${folder:?}"/*
  python3 -m pip install --quiet --root-user-action ignore --target "$folder/python" xmlschema==4.3.2 cucumber-messages==34.2.0
  python3 -m pip download --quiet --no-deps --no-binary pytest --dest "$folder" pytest==9.2.0
  tar --extract --gzip --file "$folder"/pytest-*.tar.gz --directory "$folder" --strip-components 3 --wildcards '*/junit-10.xsd'
  npm install --silent --no-audit --no-fund --prefix "$folder" @cucumber/html-formatter@24.2.0 @cucumber/messages@34.2.0
  echo "$stamp" > "$folder/stamp"
fi

if ! command -v chromium > /dev/null; then
  install=(apt-get --quiet=2 --yes install --no-install-recommends chromium)
  "${install[@]}" || { apt-get --quiet=2 update && "${install[@]}"; }
fi
