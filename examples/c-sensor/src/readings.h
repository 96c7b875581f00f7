/* readings: the machine's load and temperature, from the kernel's text files. */
#ifndef READINGS_H
#define READINGS_H

#include <stdbool.h>
#include <stddef.h>

#define MAX_ZONES 16

struct zone {
	char name[64];   /* the zone's type, "x86_pkg_temp"; "thermal_zone3" when it has none */
	double celsius;
};

struct readings {
	double load_1m, load_5m, load_15m;
	int running, total; /* scheduling entities, as /proc/loadavg counts them */
	size_t zones;       /* how many of zone[] are filled; none on most virtual machines */
	struct zone zone[MAX_ZONES];
};

/* Where the kernel's files are; tests point these elsewhere. */
struct sources {
	const char *loadavg; /* "/proc/loadavg" */
	const char *thermal; /* "/sys/class/thermal" */
};

/* Reads both sources. False when the load cannot be read; *why then says so and
 * must not be freed. A missing or unreadable thermal zone is left out. */
bool readings_take(const struct sources *from, struct readings *out, const char **why);

/* Parses one line of /proc/loadavg. */
bool readings_parse_load(const char *line, struct readings *out);

#endif
