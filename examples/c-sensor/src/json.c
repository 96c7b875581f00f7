#include "json.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

/* A bounded buffer; full once something did not fit. */
struct writer {
	char *buffer;
	size_t size, used;
	bool full;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
	if (w->full)
		return;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(w->buffer + w->used, w->size - w->used, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= w->size - w->used)
		w->full = true;
	else
		w->used += (size_t)n;
}

static void put_string(struct writer *w, const char *text)
{
	put(w, "\"");
	for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
		if (*c == '"' || *c == '\\')
			put(w, "\\%c", *c);
		else if (*c < 0x20)
			put(w, "\\u%04x", *c);
		else
			put(w, "%c", *c);
	}
	put(w, "\"");
}

static size_t finish(struct writer *w)
{
	if (w->full) {
		if (w->size > 0)
			w->buffer[0] = '\0';
		return 0;
	}
	return w->used;
}

size_t json_readings(char *buffer, size_t size, const struct readings *readings)
{
	struct writer w = {buffer, size, 0, size == 0};
	put(&w, "{\"load_1m\":%.2f,\"load_5m\":%.2f,\"load_15m\":%.2f,\"tasks_running\":%d,\"tasks\":%d",
	    readings->load_1m, readings->load_5m, readings->load_15m, readings->running, readings->total);
	put(&w, ",\"temperature_celsius\":{");
	for (size_t i = 0; i < readings->zones; i++) {
		if (i > 0)
			put(&w, ",");
		put_string(&w, readings->zone[i].name);
		put(&w, ":%.1f", readings->zone[i].celsius);
	}
	put(&w, "}}");
	return finish(&w);
}

size_t json_ready(char *buffer, size_t size, const char *model)
{
	struct writer w = {buffer, size, 0, size == 0};
	put(&w, "{\"ready\":true,\"model\":");
	put_string(&w, model);
	put(&w, "}");
	return finish(&w);
}

size_t json_error(char *buffer, size_t size, const char *message)
{
	struct writer w = {buffer, size, 0, size == 0};
	put(&w, "{\"error\":");
	put_string(&w, message);
	put(&w, "}");
	return finish(&w);
}
