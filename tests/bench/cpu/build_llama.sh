#!/usr/bin/env bash
# The llama.cpp inside the source package llama-cpp-python 0.3.36, built for this machine: llama-bench,
# llama-perplexity, llama-quantize, llama-server. Needs python3 with pip, cmake, ninja and a C++ compiler.
#
#     build_llama.sh DIR [CMAKE_OPTION...]        programs in DIR/build/bin
#
# A peer without AVX-512, for machines that have it:
#     build_llama.sh DIR -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON
set -euo pipefail
package=llama_cpp_python-0.3.36
[ $# -ge 1 ] || { sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2; }
mkdir -p "$1"
cd "$1"
shift
[ -f "$package.tar.gz" ] ||
    python3 -m pip download --quiet --no-deps --no-binary llama-cpp-python "llama-cpp-python==${package#*-}"
if [ ! -d "$package" ]; then
    tar xzf "$package.tar.gz"
    # gcc 12 believes that the instruction reads the first bytes of the tiles' configuration only, and leaves out
    # the stores of the rest: an illegal instruction on machines with AMX. A barrier keeps them.
    sed -i 's/^    _tile_loadconfig(&tc);/    __asm__ volatile("" ::: "memory");\n&/' \
        "$package/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp"
fi
cmake -S "$package/vendor/llama.cpp" -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF "$@"
ninja -C build llama-bench llama-perplexity llama-quantize llama-server
build/bin/llama-bench --version
