/* server: answers lines with lines of JSON on a Unix socket. */
#ifndef SERVER_H
#define SERVER_H

#include <signal.h>
#include <stddef.h>

/* Writes the answer to one request line (no line end on either side) and
 * returns its length, 0 when it does not fit. */
typedef size_t (*answer_fn)(const char *request, char *answer, size_t size);

/* Serves until *stop is set. Returns 0 then, -1 after printing what went wrong. */
int server_run(const char *path, answer_fn answer, const volatile sig_atomic_t *stop);

#endif
