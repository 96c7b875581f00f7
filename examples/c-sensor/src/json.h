/* json: writes the few JSON texts this module answers with. */
#ifndef JSON_H
#define JSON_H

#include <stddef.h>

#include "readings.h"

/* Each writes one JSON object without a line end and returns its length, or 0
 * when size is too small (the buffer then holds an empty string). */
size_t json_readings(char *buffer, size_t size, const struct readings *readings);
size_t json_ready(char *buffer, size_t size, const char *model);
size_t json_error(char *buffer, size_t size, const char *message);

#endif
