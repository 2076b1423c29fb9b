#include "uploader/taken.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "common/crash_point.h"
#include "common/err.h"
#include "common/mapped_file.h"

#define NOTES      ((size_t)TAKEN_PARTS * TAKEN_SLOTS)
#define FILE_BYTES (NOTES * sizeof(note_t))

/* Empty with a number of 0. The number is written last and cleared first, so that the end of the process
 * finds a note whole or none. `id` guards against the numbers of a journal that was put back from a copy. */
typedef struct {
    uint64_t number, id;
} note_t;

struct taken_t {
    note_t *notes, *mine;
    unsigned next; /* to be written over when all are full */
};

int taken_open(const char *state_dir, unsigned part, taken_t **self) {
    taken_t *taken = part < TAKEN_PARTS ? calloc(1, sizeof *taken) : NULL;
    if (!taken) return ERR_NOMEM;
    taken->notes = mapped_file(state_dir, "uploader.taken", FILE_BYTES);
    if (!taken->notes) {
        free(taken);
        return ERR_IO;
    }
    taken->mine = taken->notes + (size_t)part * TAKEN_SLOTS;
    *self = taken;
    return 0;
}

void taken_close(taken_t **self) {
    if (!*self) return;
    (void)munmap((*self)->notes, FILE_BYTES);
    free(*self);
    *self = NULL;
}

/* FNV-1a. */
static uint64_t id_of(const char *task_id) {
    uint64_t sum = 0xcbf29ce484222325u;
    for (const unsigned char *at = (const unsigned char *)task_id; *at; at++)
        sum = (sum ^ *at) * 0x100000001b3u;
    return sum;
}

static uint64_t number_of(const note_t *note) {
    return __atomic_load_n(&note->number, __ATOMIC_ACQUIRE);
}

static void set_number(note_t *note, uint64_t number) {
    __atomic_store_n(&note->number, number, __ATOMIC_RELEASE);
}

static note_t *find(const taken_t *self, uint64_t number, const char *task_id) {
    for (size_t i = 0; self && number != 0 && i < NOTES; i++)
        if (number_of(&self->notes[i]) == number && self->notes[i].id == id_of(task_id))
            return &self->notes[i];
    return NULL;
}

void taken_note(taken_t *self, uint64_t number, const char *task_id) {
    if (!self || find(self, number, task_id)) return;
    note_t *note = NULL;
    for (unsigned i = 0; !note && i < TAKEN_SLOTS; i++)
        if (number_of(&self->mine[i]) == 0) note = &self->mine[i];
    if (!note) note = &self->mine[self->next++ % TAKEN_SLOTS];
    set_number(note, 0);
    note->id = id_of(task_id);
    CRASH_POINT("taken.note");
    set_number(note, number);
    CRASH_POINT("taken.noted");
}

void taken_drop(taken_t *self, uint64_t number, const char *task_id) {
    note_t *note = find(self, number, task_id);
    if (!note) return;
    CRASH_POINT("taken.drop");
    set_number(note, 0);
    CRASH_POINT("taken.dropped");
}

bool taken_has(const taken_t *self, uint64_t number, const char *task_id) {
    return find(self, number, task_id) != NULL;
}
