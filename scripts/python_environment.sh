#!/bin/sh
# python_environment.sh FOLDER REQUIREMENTS: a Python environment with what the list names, made on first use and made up
# to date when the list has changed.
set -eu
environment=$1
requirements=$2
if [ -x "$environment/bin/python" ] && cmp -s "$requirements" "$environment/requirements.txt"; then exit 0; fi
echo "making the Python environment $environment of $requirements" >&2
python3 -m venv "$environment"
"$environment/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
cp "$requirements" "$environment/requirements.txt"
