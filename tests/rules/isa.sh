#!/usr/bin/env bash
# Instruction sets stay in their objects: the rest of the program must run on any x86-64-v2 processor.
# Tiles (tmm registers) only in *_amx objects, zmm registers only in these and *avx512* ones, ymm (and any
# VEX-coded vector instruction) only in these, *avx2*, *amx_emulated* and *f16c* ones.
set -euo pipefail
binary=${1:-}
. "$(dirname "$0")/common.bash"

build=$(dirname "${binary:-none}")
if ! ls "$build"/libwn_*.a >/dev/null 2>&1; then
    echo "SKIPPED: no libwn_*.a beside the winnow binary \"$binary\""
    exit 77
fi
if ! command -v objdump >/dev/null; then
    echo "SKIPPED: objdump is not on this machine (deploy/setup.sh ci installs binutils)"
    exit 77
fi
n=0
for library in "$build"/libwn_*.a; do
    n=$((n + $(ar t "$library" | wc -l)))
    breaches < <(objdump -d --no-show-raw-insn "$library" | awk -v library="$(basename "$library")" '
        /^[^ ].*:[[:space:]]+file format/ { object = $1; sub(/:$/, "", object); reported = 0; line = 0 }
        /^[0-9a-f]+ <.*>:$/ { function_name = $2 }
        reported { next }
        object ~ /_amx\.(c\.)?o/ { next }
        /%tmm|tilerelease|ldtilecfg|sttilecfg/ { report("an AMX instruction"); next }
        object ~ /avx512/ { next }
        /%zmm|%k[1-7]\}/ { report("an AVX-512 instruction"); next }
        object ~ /avx2|amx_emulated|f16c/ { next }
        /%ymm/ { report("an AVX instruction"); next }
        /^[[:space:]]*[0-9a-f]+:[[:space:]]+v[a-z0-9]+[[:space:]].*%xmm/ { report("a VEX-coded instruction") }
        function report(what) {
            reported = 1
            text = $0; gsub(/[[:space:]]+/, " ", text)
            print library "(" object "):1: " what " in " function_name text
        }')
done
finish "$n objects of $(ls "$build"/libwn_*.a | wc -l) libraries in the build folder"
