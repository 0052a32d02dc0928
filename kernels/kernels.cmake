# Flags of single kernel files, and the CUDA kernels.
if(WN_CUDA)
    enable_language(CUDA)
endif()
