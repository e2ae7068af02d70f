/* A stand-in for libnvidia-ml.so.1, so that the real bindings can be tested without a GPU.
 *
 * It has the calls that workers/gpus.py makes through nvidia-ml-py, under the versioned names that those bindings
 * look up. What the machine looks like stands in the file that $SIMULATED_NVML names, read anew at every call, one
 * fact a line; tests/nvml/__init__.py writes it. Without the file the driver is not loaded.
 *
 *   hang SECONDS         every call takes that long, or until the file no longer says so; FILE.hanging exists then
 *   fail CALL CODE       that call returns the code; a call is a name below such as init, count, uuid, sm, or all
 *   card UUID            what follows, `fail` too, is about this card
 *   name TEXT
 *   memory TOTAL USED    bytes
 *   sm N, encoder N, decoder N      percent
 *   process PID BYTES    or - for bytes that are not known
 *   ecc N                uncorrectable errors
 *   rows N               1: a row could not be remapped
 *
 * As in the real one, cards are enumerated by the first init: one that joins later is not seen before the next,
 * one that leaves is lost until then, and a handle stays that of its card.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SUCCESS = 0,
    UNINITIALIZED = 1,
    INVALID_ARGUMENT = 2,
    INSUFFICIENT_SIZE = 7,
    DRIVER_NOT_LOADED = 9,
    GPU_IS_LOST = 15
};
enum { CARDS = 16, PROCESSES = 16, FAILURES = 16, NAMES = 64, TEXT = 96 };
static const unsigned long long NOT_KNOWN = ~0ULL;

/* The layouts of nvml.h: nvmlMemory_t, nvmlUtilization_t, nvmlProcessInfo_t (v2 and v3). */
typedef struct {
    unsigned long long total, free, used;
} Memory;

typedef struct {
    unsigned gpu, memory;
} Utilization;

typedef struct {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
} Process;

typedef struct {
    char call[TEXT];
    int code;
} Failure;

typedef struct {
    char uuid[TEXT], name[TEXT];
    unsigned long long total, used, ecc;
    unsigned sm, encoder, decoder, rows, process_count;
    Process processes[PROCESSES];
    Failure failures[FAILURES];
} Card;

typedef struct {
    double hang;
    unsigned card_count;
    Card cards[CARDS];
    Failure failures[FAILURES];
} Machine;

/* Enumerated by init. A handle points to a name in here, and names are never removed. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned users, enumerated_count;
static char *enumerated[CARDS];
static char names[NAMES][TEXT];

static const char *state_file(void) {
    static const char *path;
    if (!path) path = getenv("SIMULATED_NVML");
    return path ? path : "";
}

static void read_failure(Failure *failures, const char *text) {
    int i = 0;
    while (i < FAILURES - 1 && failures[i].code) i++;
    sscanf(text, "%95s %d", failures[i].call, &failures[i].code);
}

static void read_card(Card *card, const char *key, const char *rest) {
    if (!strcmp(key, "name")) sscanf(rest, "%95[^\n]", card->name);
    else if (!strcmp(key, "memory")) sscanf(rest, "%llu %llu", &card->total, &card->used);
    else if (!strcmp(key, "sm")) sscanf(rest, "%u", &card->sm);
    else if (!strcmp(key, "encoder")) sscanf(rest, "%u", &card->encoder);
    else if (!strcmp(key, "decoder")) sscanf(rest, "%u", &card->decoder);
    else if (!strcmp(key, "ecc")) sscanf(rest, "%llu", &card->ecc);
    else if (!strcmp(key, "rows")) sscanf(rest, "%u", &card->rows);
    else if (!strcmp(key, "process") && card->process_count < PROCESSES) {
        Process *process = &card->processes[card->process_count++];
        process->used = NOT_KNOWN; /* and stays so if the file says - */
        sscanf(rest, "%u %llu", &process->pid, &process->used);
    }
}

static int read_machine(Machine *machine) {
    FILE *file = fopen(state_file(), "r");
    char line[256], key[32];
    int length;
    Card *card = NULL;
    memset(machine, 0, sizeof *machine);
    if (!file) return DRIVER_NOT_LOADED;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "%31s %n", key, &length) != 1) continue;
        if (!strcmp(key, "card") && machine->card_count < CARDS) {
            card = &machine->cards[machine->card_count++];
            sscanf(line + length, "%95s", card->uuid);
        } else if (!strcmp(key, "fail")) read_failure(card ? card->failures : machine->failures, line + length);
        else if (!strcmp(key, "hang")) sscanf(line + length, "%lf", &machine->hang);
        else if (card) read_card(card, key, line + length);
    }
    fclose(file);
    return SUCCESS;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Reads the file, again and again while it says that calls hang. */
static int observe(Machine *machine) {
    char sign[4096];
    double began = now();
    int code = read_machine(machine), hung = 0;
    snprintf(sign, sizeof sign, "%s.hanging", state_file());
    while (machine->hang > now() - began) {
        FILE *file = hung ? NULL : fopen(sign, "w");
        if (file) fclose(file);
        hung = 1;
        usleep(2000);
        code = read_machine(machine);
    }
    if (hung) unlink(sign);
    return code;
}

static int failure(const Failure *failures, const char *call) {
    for (int i = 0; i < FAILURES && failures[i].code; i++)
        if (!strcmp(failures[i].call, call) || !strcmp(failures[i].call, "all")) return failures[i].code;
    return SUCCESS;
}

/* What a call about the whole machine returns. */
static int machine_call(Machine *machine, const char *call) {
    int code = observe(machine);
    if (code) return code;
    if ((code = failure(machine->failures, call))) return code;
    return users || !strcmp(call, "init") ? SUCCESS : UNINITIALIZED;
}

/* What a call about a card returns; fills in the card. */
static int card_call(Card *card, const char *uuid, const char *call) {
    Machine machine;
    int code = machine_call(&machine, call);
    if (code) return code;
    for (unsigned i = 0; i < machine.card_count; i++)
        if (!strcmp(machine.cards[i].uuid, uuid)) {
            *card = machine.cards[i];
            return failure(card->failures, call);
        }
    return GPU_IS_LOST;
}

static char *remember(const char *uuid) {
    int i = 0;
    while (i < NAMES - 1 && names[i][0] && strcmp(names[i], uuid)) i++;
    return strcpy(names[i], uuid);
}

static int put(char *buffer, unsigned size, const char *text) {
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(buffer, text);
    return SUCCESS;
}

int nvmlInitWithFlags(unsigned flags) {
    Machine machine;
    int code = machine_call(&machine, "init");
    (void)flags;
    if (code) return code;
    pthread_mutex_lock(&lock);
    if (!users++) {
        enumerated_count = machine.card_count;
        for (unsigned i = 0; i < enumerated_count; i++) enumerated[i] = remember(machine.cards[i].uuid);
    }
    pthread_mutex_unlock(&lock);
    return SUCCESS;
}

int nvmlShutdown(void) {
    int code = SUCCESS;
    pthread_mutex_lock(&lock);
    if (users) users--;
    else code = UNINITIALIZED;
    pthread_mutex_unlock(&lock);
    return code;
}

const char *nvmlErrorString(int code) {
    static __thread char text[TEXT];
    snprintf(text, sizeof text, "simulated error %d", code);
    return text;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    Machine machine;
    int code = machine_call(&machine, "count");
    if (!code) *count = enumerated_count;
    return code;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, const char **handle) {
    Card card;
    if (index >= enumerated_count) return INVALID_ARGUMENT;
    *handle = enumerated[index];
    return card_call(&card, *handle, "handle");
}

int nvmlDeviceGetUUID(const char *handle, char *buffer, unsigned size) {
    Card card;
    int code = card_call(&card, handle, "uuid");
    return code ? code : put(buffer, size, card.uuid);
}

int nvmlDeviceGetName(const char *handle, char *buffer, unsigned size) {
    Card card;
    int code = card_call(&card, handle, "name");
    return code ? code : put(buffer, size, card.name);
}

int nvmlDeviceGetMemoryInfo(const char *handle, Memory *memory) {
    Card card;
    int code = card_call(&card, handle, "memory");
    if (!code) *memory = (Memory){.total = card.total, .free = card.total - card.used, .used = card.used};
    return code;
}

int nvmlDeviceGetUtilizationRates(const char *handle, Utilization *rates) {
    Card card;
    int code = card_call(&card, handle, "sm");
    if (!code) *rates = (Utilization){.gpu = card.sm};
    return code;
}

int nvmlDeviceGetEncoderUtilization(const char *handle, unsigned *percent, unsigned *period) {
    Card card;
    int code = card_call(&card, handle, "encoder");
    if (!code) *percent = card.encoder, *period = 1000000;
    return code;
}

int nvmlDeviceGetDecoderUtilization(const char *handle, unsigned *percent, unsigned *period) {
    Card card;
    int code = card_call(&card, handle, "decoder");
    if (!code) *percent = card.decoder, *period = 1000000;
    return code;
}

int nvmlDeviceGetComputeRunningProcesses_v3(const char *handle, unsigned *count, Process *processes) {
    Card card;
    int code = card_call(&card, handle, "processes");
    unsigned room = *count;
    if (code) return code;
    *count = card.process_count;
    if (room < card.process_count) return INSUFFICIENT_SIZE;
    if (processes) memcpy(processes, card.processes, card.process_count * sizeof *processes);
    return SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(const char *handle, unsigned kind, unsigned counter, unsigned long long *count) {
    Card card;
    int code = card_call(&card, handle, "ecc");
    if (kind != 1 || counter != 0) return INVALID_ARGUMENT; /* uncorrected, volatile */
    if (!code) *count = card.ecc;
    return code;
}

int nvmlDeviceGetRemappedRows(const char *handle, unsigned *mended, unsigned *bad, unsigned *pending,
                              unsigned *failed) {
    Card card;
    int code = card_call(&card, handle, "rows");
    if (!code) *mended = *bad = *pending = 0, *failed = card.rows;
    return code;
}
