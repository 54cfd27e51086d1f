#!/usr/bin/env bash
# Find or install R with MASS for the cross-check of the classical nodes.
# usage: setup/install-r.sh VENV        (INSTALL_R=no only looks, and installs nothing)
#
# In this order: R on PATH; apt-get, as root; conda, mamba or micromamba into VENV/r. It asks
# nothing and never fails: without R the pipeline uses the R results committed under data/.
set -uo pipefail
venv=${1:?usage: setup/install-r.sh VENV}
prefix=$venv/r
PATH=$PWD/$prefix/bin:$PATH
export PATH RPY2_CFFI_MODE=ABI DEBIAN_FRONTEND=noninteractive

has_r_with_mass() {
    command -v Rscript >/dev/null &&
        Rscript --vanilla -e 'quit(status = !requireNamespace("MASS", quietly = TRUE))' \
            >/dev/null 2>&1 </dev/null
}
# The pipeline talks to R through rpy2, which does not know every version of R.
usable() {
    has_r_with_mass || return 1
    "$venv/bin/python" - >/dev/null 2>&1 <<'PYTHON'
import rpy2.rinterface as ri
ri.initr()
raise SystemExit(not ri.baseenv["requireNamespace"](ri.StrSexpVector(["MASS"]))[0])
PYTHON
}
done_if_usable() {
    if usable; then
        echo "R: $(command -v Rscript), with MASS: the cross-check runs live"
        exit 0
    fi
}

done_if_usable
if [ "${INSTALL_R:-yes}" != no ]; then
    if ! has_r_with_mass && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "R: installing r-base-core and r-cran-mass with apt-get"
        options=(-o DPkg::Lock::Timeout=120 -o Acquire::http::Timeout=30)
        apt-get "${options[@]}" update -qq </dev/null &&
            apt-get "${options[@]}" install -y -qq --no-install-recommends \
                r-base-core r-cran-mass </dev/null
        done_if_usable
    fi
    for tool in micromamba mamba conda; do
        command -v "$tool" >/dev/null || continue
        echo "R: installing r-base and r-mass into $prefix with $tool"
        rm -rf -- "$prefix"
        "$tool" create --yes --quiet --prefix "$PWD/$prefix" --override-channels \
            --channel conda-forge 'r-base>=4.2,<4.5' r-mass </dev/null
        done_if_usable
        break
    done
fi

if has_r_with_mass; then
    problem="$(command -v Rscript) is there, but rpy2 3.5.17 cannot start it (it knows R 4.2 to 4.4)"
elif command -v Rscript >/dev/null; then
    problem="$(command -v Rscript) is there, but lacks the package MASS"
else
    problem="not installed"
fi
cat <<MESSAGE
R: $problem.
   The pipeline goes on with the committed R results and marks those rows "frozen".
   For a live cross-check install R 4.2 to 4.4 with MASS in one of these ways, then run 'make r':
     sudo apt-get install --no-install-recommends r-base-core r-cran-mass
     conda create --prefix "$prefix" --channel conda-forge 'r-base>=4.2,<4.5' r-mass
MESSAGE
exit 0
