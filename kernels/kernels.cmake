# Flags of single kernel files, and the CUDA kernels.
# Floating-point contraction is off so that a * b + c in plain C means the same in every table.
set(WN_AVX2_FLAGS -O3 -ffp-contract=off -mavx2 -mfma -mf16c)
set(WN_AVX512_FLAGS ${WN_AVX2_FLAGS} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
set_source_files_properties(kernels/kernels_avx2.c PROPERTIES COMPILE_OPTIONS "${WN_AVX2_FLAGS}")
set_source_files_properties(kernels/kernels_avx512.c PROPERTIES COMPILE_OPTIONS "${WN_AVX512_FLAGS}")

if(WN_CUDA)
    enable_language(CUDA)
endif()
