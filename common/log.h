/* Logging: one line a fact, `key=value`, into the program's log file, on stderr, or both. Only programs log;
 * common/ returns errors instead. Never pass a body, a header, a query string or a secret. */
#ifndef SLUICE_COMMON_LOG_H
#define SLUICE_COMMON_LOG_H

#include <stdbool.h>

typedef enum { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG } log_level_t;

/* Sets the program's name as it stands in each line, and the format: `key=value`, or JSON. */
void log_init(const char *program, log_level_t level, bool json);
void log_set_level(log_level_t level);

/* From now on lines go into this file, which changes its name at local midnight (common/daily_file.h) and of
 * which `keep` old ones are kept; with `also_stderr` on stderr as well. A line that the file does not take
 * goes to stderr. ERR_IO with errno: the file cannot be opened; lines go to stderr. */
int log_open(const char *path, int keep, bool also_stderr);
/* Lines go to stderr again. */
void log_close(void);

/* Writes a line: time, level, program, `event=EVENT`, then the pairs of `fmt`, which is a printf format of
 * space-separated key=value pairs, or NULL. A value that may hold spaces, quotes or control characters is
 * written by log_quote(). Example: log_info("task_claimed", "task=%s attempt=%u", log_quote(id, buf), 1).
 */
void log_line(log_level_t level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#define log_error(event, ...) log_line(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...)  log_line(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define log_info(event, ...)  log_line(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_line(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

/* A text as a log value: as it is when it is plain, else in double quotes with JSON escapes, cut to fit.
 * Returns `buf`. */
#define LOG_QUOTED_MAX 640
const char *log_quote(const char *text, char buf[LOG_QUOTED_MAX]);

#endif
