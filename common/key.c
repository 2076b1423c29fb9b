#include "common/key.h"

#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "common/err.h"

static const char *const role_names[KEY_ROLES] = {"broker", "executor", "tool"};

static int fail(char *why, const char *text) {
    (void)snprintf(why, KEY_WHY_MAX, "%s", text);
    return ERR_INVALID;
}

const char *key_role_name(key_role_t role) {
    return role_names[role];
}

int key_role_read(const char *text, key_role_t *role, char why[KEY_WHY_MAX]) {
    for (int i = 0; i < KEY_ROLES; i++) {
        if (strcmp(text, role_names[i]) != 0) continue;
        *role = (key_role_t)i;
        return 0;
    }
    if (strcmp(text, "fetcher") == 0 || strcmp(text, "uploader") == 0)
        return fail(
            why,
            "fetcher and uploader run on the broker's machine and reach it there without a key; keys are for "
            "executor, tool and broker");
    (void)snprintf(why, KEY_WHY_MAX,
                   "there is no role \"%.40s\" for a key; it must be executor, tool or broker", text);
    return ERR_INVALID;
}

bool key_name_good(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    return len > 0 && len <= KEY_NAME_MAX && name[0] != '.' && name[0] != '-' && strspn(name, letters) == len;
}

void key_hex(const uint8_t key[KEY_BYTES], char hex[KEY_HEX_SIZE]) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < KEY_BYTES; i++) {
        hex[2 * i] = digits[key[i] >> 4];
        hex[2 * i + 1] = digits[key[i] & 15];
    }
    hex[KEY_HEX_SIZE - 1] = '\0';
}

static int nibble(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads 64 hex digits; returns what follows them, NULL when they are none. */
static const char *read_hex(const char *text, uint8_t key[KEY_BYTES]) {
    for (size_t i = 0; i < KEY_BYTES; i++, text += 2) {
        int high = nibble(text[0]), low = high < 0 ? -1 : nibble(text[1]);
        if (low < 0) return NULL;
        key[i] = (uint8_t)(high << 4 | low);
    }
    return text;
}

bool key_from_hex(const char *hex, uint8_t key[KEY_BYTES]) {
    const char *end = read_hex(hex, key);
    return end && *end == '\0';
}

/* The part up to the next colon; returns what follows it. */
static const char *read_part(const char *text, char *part, size_t size) {
    size_t len = strcspn(text, ":");
    if (text[len] != ':' || len >= size) return NULL;
    memcpy(part, text, len);
    part[len] = '\0';
    return text + len + 1;
}

int key_read_word(const char *text, bool secret, key_pair_t *key, char why[KEY_WHY_MAX]) {
    key_pair_t read = {.role = KEY_BROKER};
    char role[16];
    const char *at = read_part(text, role, sizeof role);
    if (at) at = read_part(at, read.name, sizeof read.name);
    if (!at) return fail(why, "a key must be ROLE:NAME:PUBLIC, as `sluice key new` prints it");
    if (key_role_read(role, &read.role, why) != 0) return ERR_INVALID;
    if (!key_name_good(read.name))
        return fail(why,
                    "the name in the key is none: it must be 1 to 64 letters, digits, \".\", \"_\" or \"-\"");
    at = read_hex(at, read.public_key);
    if (at && secret) at = *at == ':' ? read_hex(at + 1, read.secret_key) : NULL;
    bool whole = at && *at == '\0';
    if (whole) *key = read;
    key_wipe(&read, sizeof read);
    if (whole) return 0;
    return fail(why,
                secret ? "the secret key is not whole: it must be ROLE:NAME:PUBLIC:SECRET, both parts 64 hex "
                         "digits, as `sluice key new` has written it"
                       : "the public part of a key must be 64 hex digits, and the last part of the word");
}

void key_write_word(const key_pair_t *key, bool secret, char word[KEY_WORD_MAX]) {
    char public_hex[KEY_HEX_SIZE], secret_hex[KEY_HEX_SIZE] = "";
    key_hex(key->public_key, public_hex);
    if (secret) key_hex(key->secret_key, secret_hex);
    (void)snprintf(word, KEY_WORD_MAX, "%s:%s:%s%s%s", role_names[key->role], key->name, public_hex,
                   secret ? ":" : "", secret_hex);
    key_wipe(secret_hex, sizeof secret_hex);
}

int key_make(key_role_t role, const char *name, key_pair_t *key) {
    char public_text[41], secret_text[41];
    if (zmq_curve_keypair(public_text, secret_text) != 0) return ERR_UNSUPPORTED;
    *key = (key_pair_t){.role = role};
    (void)snprintf(key->name, sizeof key->name, "%s", name);
    bool ok = zmq_z85_decode(key->public_key, public_text) && zmq_z85_decode(key->secret_key, secret_text);
    key_wipe(secret_text, sizeof secret_text);
    return ok ? 0 : ERR_UNSUPPORTED;
}

void key_wipe(void *key, size_t size) {
    explicit_bzero(key, size);
}
