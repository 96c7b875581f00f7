#include "readings.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads the first line of a file without its line end. */
static bool first_line(const char *path, char *line, size_t size)
{
	FILE *file = fopen(path, "re");
	if (file == NULL)
		return false;
	bool ok = fgets(line, (int)size, file) != NULL;
	fclose(file);
	if (ok)
		line[strcspn(line, "\n")] = '\0';
	return ok;
}

bool readings_parse_load(const char *line, struct readings *out)
{
	return sscanf(line, "%lf %lf %lf %d/%d", &out->load_1m, &out->load_5m, &out->load_15m,
		      &out->running, &out->total) == 5;
}

static bool read_zone(const char *folder, const char *entry, struct zone *out)
{
	char path[PATH_MAX], line[64];
	if (snprintf(path, sizeof path, "%s/%s/temp", folder, entry) >= (int)sizeof path)
		return false;
	if (!first_line(path, line, sizeof line))
		return false;
	char *end;
	errno = 0;
	long milli = strtol(line, &end, 10);
	if (errno != 0 || end == line || *end != '\0')
		return false;
	out->celsius = (double)milli / 1000.0;

	if (snprintf(path, sizeof path, "%s/%s/type", folder, entry) >= (int)sizeof path)
		return false;
	if (!first_line(path, out->name, sizeof out->name) || out->name[0] == '\0')
		snprintf(out->name, sizeof out->name, "%.63s", entry);
	return true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct zone *)a)->name, ((const struct zone *)b)->name);
}

static void read_zones(const char *folder, struct readings *out)
{
	DIR *dir = opendir(folder);
	if (dir == NULL)
		return; /* no thermal class at all: a container or a virtual machine */
	const struct dirent *entry;
	while (out->zones < MAX_ZONES && (entry = readdir(dir)) != NULL) {
		if (strncmp(entry->d_name, "thermal_zone", strlen("thermal_zone")) != 0)
			continue;
		if (read_zone(folder, entry->d_name, &out->zone[out->zones]))
			out->zones++;
	}
	closedir(dir);
	qsort(out->zone, out->zones, sizeof out->zone[0], by_name);
}

bool readings_take(const struct sources *from, struct readings *out, const char **why)
{
	char line[128];
	memset(out, 0, sizeof *out);
	if (!first_line(from->loadavg, line, sizeof line)) {
		*why = "the load file cannot be read; is /proc mounted?";
		return false;
	}
	if (!readings_parse_load(line, out)) {
		*why = "the load file does not read like \"0.10 0.20 0.30 1/100 4242\"";
		return false;
	}
	read_zones(from->thermal, out);
	return true;
}
