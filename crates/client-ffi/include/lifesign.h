/* Heartbeats for lifesign from C.
 *
 * Link liblifesign_heart (cargo build --release -p lifesign-client-ffi makes the shared and the static one).
 *
 *     lifesign_heart *heart = lifesign_connect("orders");   // NULL: lifesign is not here; go on all the same
 *     lifesign_metric(heart, "queue", 12.0);
 *     lifesign_progress(heart, done);
 *     lifesign_beat(heart);
 *
 * No call waits for lifesign. Every call takes a NULL heart and does nothing with it. All but lifesign_free may be
 * called from several threads at a time. Texts are UTF-8 and end in zero.
 */
#ifndef LIFESIGN_H
#define LIFESIGN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lifesign_heart lifesign_heart;

enum { LIFESIGN_ALIVE = 1, LIFESIGN_STOPPING = 2, LIFESIGN_FAIL = 3 };

/* The best way to lifesign for a service (NULL or "": the one in LIFESIGN_SERVICE); NULL where there is none. */
lifesign_heart *lifesign_connect(const char *service);

/* Why lifesign_connect finds none: 1 and a text of at most size bytes in words; 0 when it would find one. */
int lifesign_why_not(const char *service, char *words, size_t size);

/* I am well; carries what the functions below have set. */
void lifesign_beat(const lifesign_heart *heart);

/* How far the program has come with its work: any number that changes while it works. */
void lifesign_progress(const lifesign_heart *heart, uint64_t count);

/* Sets a metric ([a-zA-Z_:][a-zA-Z0-9_:.-]*, finite); 0 where it was not taken. */
int lifesign_metric(const lifesign_heart *heart, const char *name, double value);

/* LIFESIGN_ALIVE, LIFESIGN_STOPPING or LIFESIGN_FAIL, from the next beat on. */
void lifesign_status(const lifesign_heart *heart, int status);

/* A line of text that is shown with the service; NULL or "": none. */
void lifesign_message(const lifesign_heart *heart, const char *message);

/* "memory", "socket", "pipe" or "http"; "none" for NULL. */
const char *lifesign_way(const lifesign_heart *heart);

/* Says that the program stops on purpose, and frees the heart. */
void lifesign_free(lifesign_heart *heart);

#ifdef __cplusplus
}
#endif

#endif
