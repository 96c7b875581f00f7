/* Tests of the parts that do not need a kernel of their own: parsing, the
 * thermal folder, JSON. Run by `make test`, on the machine it was built for. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/json.h"
#include "../src/readings.h"

static int failures;

#define CHECK(condition)                                                                  \
	do {                                                                              \
		if (!(condition)) {                                                       \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
			failures++;                                                       \
		}                                                                         \
	} while (0)

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	if (file == NULL || fputs(text, file) < 0 || fclose(file) != 0) {
		perror(path);
		exit(1);
	}
}

static void write_zone(const char *name, const char *type, const char *temp)
{
	char path[128];
	snprintf(path, sizeof path, "thermal/%s", name);
	mkdir(path, 0755);
	snprintf(path, sizeof path, "thermal/%s/temp", name);
	write_file(path, temp);
	if (type != NULL) {
		snprintf(path, sizeof path, "thermal/%s/type", name);
		write_file(path, type);
	}
}

static void test_parse_load(void)
{
	struct readings r = {0};
	CHECK(readings_parse_load("0.52 1.25 2.00 3/812 4242", &r));
	CHECK(r.load_1m == 0.52 && r.load_5m == 1.25 && r.load_15m == 2.00);
	CHECK(r.running == 3 && r.total == 812);
	CHECK(!readings_parse_load("", &r));
	CHECK(!readings_parse_load("0.52 1.25 many", &r));
}

static void test_take(void)
{
	struct sources from = {"loadavg", "thermal"};
	struct readings r;
	const char *why = NULL;
	char text[1024];

	CHECK(!readings_take(&from, &r, &why) && why != NULL);
	write_file("loadavg", "0.10 0.20 0.30 1/100 4242\n");
	CHECK(readings_take(&from, &r, &why) && r.zones == 0);

	mkdir("thermal", 0755);
	write_zone("thermal_zone1", "gpu \"hot\"\n", "61500\n");
	write_zone("thermal_zone0", "cpu\n", "-4200\n");
	write_zone("thermal_zone2", NULL, "30000\n");
	write_zone("thermal_zone3", "broken\n", "n/a\n");
	write_zone("cooling_device0", "fan\n", "1\n");
	CHECK(readings_take(&from, &r, &why) && r.zones == 3);
	CHECK(json_readings(text, sizeof text, &r) == strlen(text));
	CHECK(strcmp(text, "{\"load_1m\":0.10,\"load_5m\":0.20,\"load_15m\":0.30,\"tasks_running\":1,\"tasks\":100,"
			   "\"temperature_celsius\":{\"cpu\":-4.2,\"gpu \\\"hot\\\"\":61.5,\"thermal_zone2\":30.0}}") == 0);
}

static void test_json(void)
{
	char text[64];
	CHECK(json_ready(text, sizeof text, "a:b:c") > 0);
	CHECK(strcmp(text, "{\"ready\":true,\"model\":\"a:b:c\"}") == 0);
	CHECK(json_error(text, sizeof text, "line\nend") > 0);
	CHECK(strcmp(text, "{\"error\":\"line\\u000aend\"}") == 0);
	CHECK(json_error(text, 8, "does not fit") == 0 && text[0] == '\0');
	CHECK(json_error(text, 0, "no room at all") == 0);
}

int main(void)
{
	char folder[] = "/tmp/c-sensor-test-XXXXXX";
	if (mkdtemp(folder) == NULL || chdir(folder) != 0) {
		perror(folder);
		return 1;
	}
	test_parse_load();
	test_take();
	test_json();
	printf("%d failures\n", failures);
	return failures == 0 ? 0 : 1;
}
