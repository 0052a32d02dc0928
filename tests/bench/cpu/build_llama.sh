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
[ -d "$package" ] || tar xzf "$package.tar.gz"
cmake -S "$package/vendor/llama.cpp" -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_TESTS=OFF "$@"
ninja -C build llama-bench llama-perplexity llama-quantize llama-server
build/bin/llama-bench --version
