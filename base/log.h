/* Leveled log to a file descriptor chosen by the program; library code never prints otherwise.
 * One line per call: time, level, room, text. Thread-safe (one write(2) a line). Documents' texts,
 * keys and questions are never logged. */
#ifndef WN_BASE_LOG_H
#define WN_BASE_LOG_H

typedef enum wn_log_level { WN_LOG_ERROR, WN_LOG_WARN, WN_LOG_INFO, WN_LOG_DEBUG } wn_log_level;

void wn_log_init(int fd,
                 wn_log_level level); /* before threads start; default: nothing is written */
void wn_log(wn_log_level level, const char *room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
