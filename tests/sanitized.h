/* WN_TEST_SANITIZED: 1 when a sanitizer is compiled in, which makes matrix products some fifty
 * times slower: tests that run real models do fewer cases then. */
#ifndef WN_TEST_SANITIZED_H
#define WN_TEST_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WN_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WN_TEST_SANITIZED 1
#endif
#endif
#ifndef WN_TEST_SANITIZED
#define WN_TEST_SANITIZED 0
#endif

#endif
