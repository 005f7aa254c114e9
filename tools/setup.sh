#!/bin/sh
# Makes the virtual environment from the hashed lock. Usage: setup.sh VENV (PYTHON names the interpreter).
set -eu
venv=$1
python=${PYTHON:-python3}

"$python" - <<'PY' || { echo "croupier needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 4; }
import sys
sys.exit(sys.version_info < (3, 11))
PY

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian splits venv from Python. As root we can mend that; otherwise say how.
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -qq
        apt-get install -y -qq python3-venv
    else
        echo "Python has no venv module here. Install it: apt-get install python3-venv" >&2
        exit 4
    fi
fi

# A virtual environment of another Python cannot be mended, only made anew.
real='import os, sys; print(os.path.realpath(sys.executable))'
if [ -e "$venv/pyvenv.cfg" ] && [ "$("$python" -c "$real")" != "$("$venv/bin/python" -c "$real" 2>/dev/null)" ]; then
    rm -rf "$venv"
fi

echo "setting up $venv (once; a minute or two of downloads)" >&2
"$python" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
