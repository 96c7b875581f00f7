#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_CLIENTS 16
#define MAX_LINE 256
#define MAX_ANSWER 4096
#define TICK_MS 500 /* a signal between the test of *stop and poll() waits this long */

struct client {
	int fd; /* -1: free */
	char line[MAX_LINE];
	size_t used;
};

static int complain(const char *what, const char *path)
{
	fprintf(stderr, "c-sensor: %s %s: %s\n", what, path, strerror(errno));
	return -1;
}

/* Clears away the socket of a run that was killed, and only a socket. */
static int clear_path(const char *path)
{
	struct stat info;
	if (lstat(path, &info) != 0)
		return errno == ENOENT ? 0 : complain("look at", path);
	if (!S_ISSOCK(info.st_mode)) {
		fprintf(stderr, "c-sensor: %s exists and is not a socket; give another path\n", path);
		return -1;
	}
	return unlink(path) == 0 ? 0 : complain("remove", path);
}

static int listen_on(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof address.sun_path) {
		fprintf(stderr, "c-sensor: %s: a socket path has at most %zu bytes\n", path,
			sizeof address.sun_path - 1);
		return -1;
	}
	strcpy(address.sun_path, path);
	if (clear_path(path) != 0)
		return -1;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return complain("make a socket for", path);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, MAX_CLIENTS) != 0) {
		complain("listen on", path);
		close(fd);
		return -1;
	}
	return fd;
}

static void drop(struct client *client)
{
	close(client->fd);
	client->fd = -1;
	client->used = 0;
}

static void admit(int listener, struct client *clients)
{
	int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return; /* gone before we looked */
	for (size_t i = 0; i < MAX_CLIENTS; i++) {
		if (clients[i].fd >= 0)
			continue;
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		fcntl(fd, F_SETFL, O_NONBLOCK);
		clients[i].fd = fd;
		clients[i].used = 0;
		return;
	}
	close(fd);
}

/* Answers one line. A client that does not take a short answer at once is dropped. */
static bool reply(struct client *client, answer_fn answer)
{
	char text[MAX_ANSWER];
	size_t n = answer(client->line, text, sizeof text - 1);
	if (n == 0)
		return false;
	text[n++] = '\n';
	return send(client->fd, text, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* Answers every whole line that has come in; false when the client is done for. */
static bool answer_lines(struct client *client, answer_fn answer)
{
	char *end;
	while ((end = memchr(client->line, '\n', client->used)) != NULL) {
		size_t length = (size_t)(end - client->line) + 1;
		*end = '\0';
		if (!reply(client, answer))
			return false;
		client->used -= length;
		memmove(client->line, client->line + length, client->used);
	}
	return client->used < sizeof client->line; /* a full buffer without an end: too long */
}

static void serve(struct client *client, answer_fn answer)
{
	ssize_t n = recv(client->fd, client->line + client->used, sizeof client->line - client->used, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		drop(client);
		return;
	}
	client->used += (size_t)n;
	if (!answer_lines(client, answer))
		drop(client);
}

static int poll_once(int listener, struct client *clients, answer_fn answer)
{
	struct pollfd fds[MAX_CLIENTS + 1];
	fds[MAX_CLIENTS] = (struct pollfd){.fd = listener, .events = POLLIN};
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		fds[i] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN}; /* -1 is skipped */
	if (poll(fds, MAX_CLIENTS + 1, TICK_MS) < 0)
		return errno == EINTR ? 0 : -1;
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		if (fds[i].revents != 0)
			serve(&clients[i], answer);
	if (fds[MAX_CLIENTS].revents != 0)
		admit(listener, clients);
	return 0;
}

int server_run(const char *path, answer_fn answer, const volatile sig_atomic_t *stop)
{
	struct client clients[MAX_CLIENTS];
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		clients[i] = (struct client){.fd = -1};
	int listener = listen_on(path);
	if (listener < 0)
		return -1;
	fprintf(stderr, "c-sensor: serving on %s\n", path);
	int result = 0;
	while (!*stop && result == 0)
		result = poll_once(listener, clients, answer);
	if (result != 0)
		complain("wait on", path);
	for (size_t i = 0; i < MAX_CLIENTS; i++)
		if (clients[i].fd >= 0)
			close(clients[i].fd);
	close(listener);
	unlink(path);
	return result;
}
