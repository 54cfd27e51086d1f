#!/usr/bin/env bash
# Create the virtual environment with a Python that the lock file supports.
# usage: setup/make-venv.sh VENV        (PYTHON=/path/to/python3 chooses the interpreter)
set -euo pipefail
venv=${1:?usage: setup/make-venv.sh VENV}

supported() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; }
can_make_venv() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
# Without --clear a half-made environment would be kept as it is.
make_venv() {
    echo "python: $1 ($(version "$1")) makes $venv"
    "$1" -m venv --clear "$venv"
}

# A moved or copied environment has scripts that start the interpreter of the old place.
in_place() { [ "$(head -n 1 "$venv/.installed" 2>/dev/null || pwd -P)" = "$(pwd -P)" ]; }
if in_place && supported "$venv/bin/python" && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi

if [ -n "${PYTHON:-}" ]; then
    names=("$PYTHON")
else
    names=(python3 python3.11 python3.12 python3.13 python3.14)
fi
found=()
for name in "${names[@]}"; do
    if path=$(command -v "$name") && supported "$path"; then
        if can_make_venv "$path"; then
            make_venv "$path"
            exit 0
        fi
        found+=("$path")
    fi
done

if [ ${#found[@]} -eq 0 ]; then
    echo "error: no Python 3.11 to 3.14 among: ${names[*]}." >&2
    echo "Install one (Debian 12, Ubuntu 24.04 or later: apt-get install python3 python3-venv)" >&2
    echo "or name it: make PYTHON=/path/to/python3" >&2
    exit 1
fi

# Debian and Ubuntu split ensurepip off into a package of its own.
package=python$(version "${found[0]}")-venv
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "python: ${found[0]} lacks ensurepip, installing $package"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null || true
    if apt-get install -y -qq --no-install-recommends "$package" </dev/null &&
        can_make_venv "${found[0]}"; then
        make_venv "${found[0]}"
        exit 0
    fi
fi
echo "error: ${found[0]} cannot make virtual environments, its ensurepip module is missing." >&2
echo "Install it, for example: sudo apt-get install $package" >&2
exit 1
