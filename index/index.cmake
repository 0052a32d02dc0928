# FAISS: its own C API where the system has it, otherwise our implementation of the functions we call.
if(FAISS_C_LIBRARY)
    target_link_libraries(wn_index PUBLIC ${FAISS_C_LIBRARY})
else()
    target_sources(wn_index PRIVATE index/faiss_c_shim.cpp)
endif()
target_link_libraries(wn_index PUBLIC ${FAISS_LIBRARY} ${OPENBLAS_LIBRARY} OpenMP::OpenMP_CXX stdc++)
