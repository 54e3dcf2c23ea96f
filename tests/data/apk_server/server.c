/* A small HTTP server for the apk-managed root filesystem of the tests (tests/helpers/apk_tree.py).
 *
 * Reads its port from /etc/hello.conf or $PORT, and serves /usr/share/hello/index.html, with the
 * checksum that zlib makes of it, the account that it runs as and the local time.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

unsigned long crc32(unsigned long crc, const unsigned char *data, unsigned int size);

static int port(void)
{
    const char *given = getenv("PORT");
    int number = given ? atoi(given) : 0;
    FILE *conf = fopen("/etc/hello.conf", "r");
    if (conf) {
        if (!number && fscanf(conf, "port=%d", &number) != 1)
            number = 0;
        fclose(conf);
    }
    return number ? number : 8080;
}

static void answer(int client)
{
    char request[4096], body[4096], text[8192];
    if (read(client, request, sizeof request) <= 0)
        return;
    FILE *page = fopen("/usr/share/hello/index.html", "r");
    size_t size = page ? fread(body, 1, sizeof body - 1, page) : 0;
    if (page)
        fclose(page);
    body[size] = 0;
    time_t now = time(NULL);
    struct passwd *account = getpwuid(getuid());
    int length = snprintf(text, sizeof text,
                          "HTTP/1.0 %s\r\nContent-Type: text/html\r\nX-Checksum: %08lx\r\n"
                          "X-Account: %s\r\nX-Year: %d\r\n\r\n%s",
                          page ? "200 OK" : "404 Not Found",
                          crc32(0, (unsigned char *)body, size),
                          account ? account->pw_name : "?", localtime(&now)->tm_year + 1900, body);
    if (write(client, text, length) < 0)
        perror("write");
}

int main(void)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port())};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, _exit); /* as a container's first process it has no default */
    signal(SIGTERM, _exit);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&place, sizeof place) || listen(listener, 64)) {
        perror("cannot listen");
        return 1;
    }
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client >= 0) {
            answer(client);
            close(client);
        }
    }
}
