#!/bin/sh
# layers.sh ROOT -- the include law of docs/architecture.md: arrows point down only, OpenCL
# and CLBlast are called under host/ only, the programs see public headers only.
# shellcheck disable=SC2317 # functions are called through check
set -eu
cd "$1"
# shellcheck source=tests/style/tap.sh
. tests/style/tap.sh

# FOLDER ALLOWED...: quoted includes of the folder name one of the allowed prefixes.
includes_only() {
    folder=$1
    shift
    allowed=$(printf '%s|' "$@")
    ! grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$folder" --include='*.[ch]' |
        grep -vE "include[[:space:]]*\"(${allowed%|})"
}
check 'lib/base includes lib/base' includes_only lib/base lib/base/
check 'lib/ref includes lib/base, lib/ref' includes_only lib/ref lib/base/ lib/ref/
check 'host includes lib/base, host and the embedded kernels' \
    includes_only host lib/base/ host/ cl_kernels/
check 'lib/plan includes lib/base, lib/plan' includes_only lib/plan lib/base/ lib/plan/
check 'lib/tune includes lib/{base,ref,plan,tune}, the context, the embedded kernels' \
    includes_only lib/tune lib/base/ lib/ref/ lib/plan/ lib/tune/ host/context.h host/embedded.h
check 'lib/ops includes lib, host, the arguments of the kernels' \
    includes_only lib/ops lib/ host/ 'cl_kernels/[a-z_]+_args.h'
check 'bench includes its own and public headers' includes_only bench bench/

no_calls() { ! grep -rnE '\b(cl[A-Z][A-Za-z]+|CLBlast[A-Z][A-Za-z]+)[[:space:]]*\(' lib --include='*.[ch]'; }
check 'no OpenCL or CLBlast call in lib' no_calls
no_ops_private() { ! grep -rnE '#include "(host/(context_internal|cl_check|program|profile|bincache))' lib; }
check 'lib sees only the open headers of host' no_ops_private
no_plan_cl() { ! grep -rnE '#include <(clflash/(device|attention|clflash)\.h|CL/)' lib/base lib/ref lib/plan; }
check 'lib/base, lib/ref and lib/plan need no OpenCL header' no_plan_cl
finish
