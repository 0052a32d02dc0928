/* The functions of FAISS' C API that vector_index.c calls, for systems whose FAISS package has the
 * headers of that API but not its library (Debian's libfaiss-dev). Signatures are those headers';
 * compiled only where libfaiss_c is absent (index.cmake). No exception leaves this file. */
#include <exception>
#include <memory>
#include <new>
#include <string>

#include <faiss/Index.h>
#include <faiss/c_api/Index_c.h>
#include <faiss/c_api/clone_index_c.h>
#include <faiss/c_api/error_c.h>
#include <faiss/c_api/index_factory_c.h>
#include <faiss/c_api/index_io_c.h>
#include <faiss/clone_index.h>
#include <faiss/impl/FaissException.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>

namespace
{
thread_local std::exception_ptr last_exception;

template <typename Body> int guarded(Body body) noexcept
{
    try {
        body();
        return ::OK;
    } catch (const faiss::FaissException &) {
        last_exception = std::current_exception();
        return FAISS_EXCEPT;
    } catch (const std::exception &) {
        last_exception = std::current_exception();
        return STD_EXCEPT;
    } catch (...) {
        last_exception = std::current_exception();
        return UNKNOWN_EXCEPT;
    }
}

faiss::Index *cxx(FaissIndex *index)
{
    return reinterpret_cast<faiss::Index *>(index);
}

const faiss::Index *cxx(const FaissIndex *index)
{
    return reinterpret_cast<const faiss::Index *>(index);
}

FaissIndex *opaque(faiss::Index *index)
{
    return reinterpret_cast<FaissIndex *>(index);
}
} // namespace

extern "C" {

const char *faiss_get_last_error()
{
    if (!last_exception)
        return nullptr;
    try {
        std::rethrow_exception(last_exception);
    } catch (const std::exception &e) {
        return e.what(); /* lives as long as last_exception */
    } catch (...) {
        return "unknown exception";
    }
}

int faiss_index_factory(FaissIndex **p_index, int d, const char *description,
                        FaissMetricType metric)
{
    return guarded([&] {
        *p_index =
            opaque(faiss::index_factory(d, description, static_cast<faiss::MetricType>(metric)));
    });
}

int faiss_clone_index(const FaissIndex *index, FaissIndex **p_out)
{
    return guarded([&] { *p_out = opaque(faiss::clone_index(cxx(index))); });
}

void faiss_Index_free(FaissIndex *index)
{
    delete cxx(index);
}

int faiss_Index_d(const FaissIndex *index)
{
    return static_cast<int>(cxx(index)->d);
}

idx_t faiss_Index_ntotal(const FaissIndex *index)
{
    return cxx(index)->ntotal;
}

FaissMetricType faiss_Index_metric_type(const FaissIndex *index)
{
    return static_cast<FaissMetricType>(cxx(index)->metric_type);
}

int faiss_Index_add(FaissIndex *index, idx_t n, const float *x)
{
    return guarded([&] { cxx(index)->add(n, x); });
}

int faiss_Index_search(const FaissIndex *index, idx_t n, const float *x, idx_t k, float *distances,
                       idx_t *labels)
{
    return guarded([&] { cxx(index)->search(n, x, k, distances, labels); });
}

int faiss_Index_reconstruct(const FaissIndex *index, idx_t key, float *recons)
{
    return guarded([&] { cxx(index)->reconstruct(key, recons); });
}

int faiss_write_index(const FaissIndex *index, FILE *f)
{
    return guarded([&] { faiss::write_index(cxx(index), f); });
}

int faiss_read_index(FILE *f, int io_flags, FaissIndex **p_out)
{
    return guarded([&] { *p_out = opaque(faiss::read_index(f, io_flags)); });
}
}
