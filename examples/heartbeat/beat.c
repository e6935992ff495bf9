/* Ten heartbeats from C.
 *
 *     cc beat.c -I ../../crates/client-ffi/include -L ../../target/release -llifesign_heart -o beat && ./beat orders
 */
#include <lifesign.h>
#include <stdio.h>
#include <time.h>

int main(int argc, char **argv) {
    const char *service = argc > 1 ? argv[1] : "";
    lifesign_heart *heart = lifesign_connect(service);
    if (heart == NULL) {
        char words[1024];
        lifesign_why_not(service, words, sizeof words);
        fprintf(stderr, "%s\n", words);
        return 1;
    }
    printf("beating by %s\n", lifesign_way(heart));
    lifesign_message(heart, "hello from C");
    for (uint64_t done = 1; done <= 10; done++) {
        lifesign_progress(heart, done);
        lifesign_metric(heart, "queue", 12.5);
        lifesign_beat(heart);
        struct timespec pause = {0, 20 * 1000 * 1000};
        nanosleep(&pause, NULL);
    }
    lifesign_free(heart);
    return 0;
}
