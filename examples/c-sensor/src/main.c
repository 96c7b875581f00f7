/* c-sensor: tells a machine's load and temperature; see README.md for what it
 * serves and what it does not. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "readings.h"
#include "server.h"

#define MODEL "acme:c-sensor:load"

static const struct sources kernel = {"/proc/loadavg", "/sys/class/thermal"};
static volatile sig_atomic_t stop;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static size_t answer_readings(char *answer, size_t size)
{
	struct readings readings;
	const char *why;
	if (!readings_take(&kernel, &readings, &why))
		return json_error(answer, size, why);
	return json_readings(answer, size, &readings);
}

static size_t answer_request(const char *request, char *answer, size_t size)
{
	if (strcmp(request, "ready") == 0)
		return json_ready(answer, size, MODEL);
	if (strcmp(request, "readings") == 0)
		return answer_readings(answer, size);
	return json_error(answer, size, "unknown request; ask \"ready\" or \"readings\"");
}

static int print_once(void)
{
	char answer[4096];
	struct readings readings;
	const char *why;
	if (!readings_take(&kernel, &readings, &why)) {
		fprintf(stderr, "c-sensor: %s\n", why);
		return 1;
	}
	if (json_readings(answer, sizeof answer, &readings) == 0)
		return 1;
	puts(answer);
	return 0;
}

static void catch_signals(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "--once") == 0)
		return print_once();
	if (argc < 2 || argv[1][0] == '-') {
		fputs("usage: c-sensor <socket path>\n       c-sensor --once\n", stderr);
		return 2;
	}
	if (strchr(argv[1], '/') == NULL && strchr(argv[1], ':') != NULL) {
		fprintf(stderr, "c-sensor: %s: serving on TCP is not supported; give a socket path\n", argv[1]);
		return 2;
	}
	catch_signals();
	return server_run(argv[1], answer_request, &stop) == 0 ? 0 : 1;
}
