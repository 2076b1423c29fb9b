/* `sluice key`: makes keys, and says which of them may connect to this broker. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "cli/commands.h"
#include "common/config.h"
#include "common/err.h"
#include "common/key.h"
#include "common/key_list.h"
#include "common/program.h"

#define WORDS_MAX 3

typedef struct {
    config_t *config;
    const char *words[WORDS_MAX]; /* new NAME, allow KEY, ... */
    int word_count;
    const char *role; /* NULL: not given */
    char why[KEY_WHY_MAX];
} key_command_t;

static int say(key_command_t *self, const char *text) {
    (void)snprintf(self->why, sizeof self->why, "%s", text);
    return EXIT_CONFIG;
}

static int make_dir(key_command_t *self) {
    return key_dir_make(self->config->keys_dir, self->why) == 0 ? 0 : EXIT_FAILED;
}

/* --- new --- */

static void print_next(const key_command_t *self, const key_pair_t *key, const char *word, const char *file) {
    if (key->role == KEY_BROKER)
        (void)printf(
            "made the broker's key: %s/%s\nits public part, for --brokerKey on other machines:\n%s\n",
            self->config->keys_dir, file, word);
    else
        (void)printf(
            "made the key %s/%s; it stays on this machine\nits public part, for the broker's machine:\n"
            "sluice key allow %s\n",
            self->config->keys_dir, file, word);
}

static int make_key(key_command_t *self) {
    const char *name = self->words[1];
    key_pair_t key;
    key_role_t role;
    char word[KEY_WORD_MAX], file[KEY_NAME_MAX + 8], text[2 * KEY_WORD_MAX];
    if (self->word_count != 2 || !self->role)
        return say(self, "usage: sluice key new NAME --role executor|tool|broker");
    if (key_role_read(self->role, &role, self->why) != 0) return EXIT_CONFIG;
    if (!key_name_good(name))
        return say(self, "a key's name must be 1 to 64 letters, digits, \".\", \"_\" or \"-\"");
    if (role != KEY_BROKER && strcmp(name, "broker") == 0)
        return say(self, "the name broker is for the broker's own key (--role broker)");
    int code = make_dir(self);
    if (code) return code;
    if (key_make(role, name, &key) != 0) return say(self, "ZeroMQ is built without CURVE here");
    (void)snprintf(file, sizeof file, "%s.key", role == KEY_BROKER ? "broker" : name);
    key_write_word(&key, true, word);
    (void)snprintf(text, sizeof text, "# The secret key of %s %s: for its owner's eyes alone.\n%s\n",
                   key_role_name(role), name, word);
    int err = key_file_write(self->config->keys_dir, file, text, false, self->why);
    key_wipe(text, sizeof text);
    key_write_word(&key, false, word);
    if (!err) print_next(self, &key, word, file);
    key_wipe(&key, sizeof key);
    return err == ERR_BUSY ? EXIT_CONFIG : err ? EXIT_FAILED : 0;
}

/* --- allow, revoke, list --- */

/* One change of the list at a time. */
static int lock_list(key_command_t *self) {
    int fd = open(self->config->keys_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        (void)snprintf(self->why, sizeof self->why, "cannot lock %.300s: %s", self->config->keys_dir,
                       strerror(errno));
    else
        return fd;
    if (fd >= 0) (void)close(fd);
    return -1;
}

static int change_list(key_command_t *self, int (*change)(key_command_t *self, key_list_t *list)) {
    key_list_t list = {NULL, 0};
    int code = make_dir(self), fd = code ? -1 : lock_list(self);
    if (fd < 0) return EXIT_FAILED;
    code = key_list_read(self->config->keys_dir, &list, self->why) == 0 ? 0 : EXIT_CONFIG;
    if (!code) code = change(self, &list);
    if (!code && key_list_write(self->config->keys_dir, &list, self->why) != 0) code = EXIT_FAILED;
    key_list_clear(&list);
    (void)close(fd);
    return code;
}

static int add_key(key_command_t *self, key_list_t *list) {
    key_pair_t key;
    const char *text = self->words[1];
    bool file = text[0] == '/' || text[0] == '.';
    int err =
        file ? key_read_file(text, false, &key, self->why) : key_read_word(text, false, &key, self->why);
    if (err) return EXIT_CONFIG;
    if (key.role == KEY_BROKER)
        return say(self, "that is a broker's key; it is for --brokerKey on other machines");
    if (key_list_add(list, &key, self->why) != 0) return EXIT_CONFIG;
    (void)printf("allowed: %s %s\n", key_role_name(key.role), key.name);
    return 0;
}

static int take_key(key_command_t *self, key_list_t *list) {
    key_pair_t key;
    if (key_list_remove(list, self->words[1], &key) != 0) {
        (void)snprintf(self->why, sizeof self->why,
                       "no key named \"%.80s\" is allowed; see `sluice key list`", self->words[1]);
        return EXIT_CONFIG;
    }
    (void)printf("revoked: %s %s; a running broker ends its connections at once\n", key_role_name(key.role),
                 key.name);
    return 0;
}

static int allow_key(key_command_t *self) {
    if (self->word_count != 2)
        return say(self, "usage: sluice key allow ROLE:NAME:PUBLIC, or a FILE with that");
    return change_list(self, add_key);
}

static int revoke_key(key_command_t *self) {
    if (self->word_count != 2) return say(self, "usage: sluice key revoke NAME");
    return change_list(self, take_key);
}

static void print_key(const char *what, const key_pair_t *key) {
    char word[KEY_WORD_MAX];
    key_write_word(key, false, word);
    (void)printf("%-8s %s\n", what, word);
}

/* The keys of this machine, then those that may connect. */
static int list_keys(key_command_t *self) {
    char pattern[PATH_MAX];
    glob_t found;
    key_list_t list;
    int code = 0;
    (void)snprintf(pattern, sizeof pattern, "%s/*.key", self->config->keys_dir);
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            key_pair_t key;
            if (key_read_file(found.gl_pathv[i], true, &key, self->why) == 0) {
                print_key("own", &key);
                key_wipe(&key, sizeof key);
            } else {
                code = EXIT_CONFIG;
                program_complain("sluice", self->why);
            }
        }
        globfree(&found);
    }
    if (key_list_read(self->config->keys_dir, &list, self->why) != 0) return EXIT_CONFIG;
    for (size_t i = 0; i < list.count; i++)
        print_key("allowed", &list.items[i].key);
    key_list_clear(&list);
    self->why[0] = '\0';
    return code;
}

static const struct {
    const char *name, *usage;
    int (*run)(key_command_t *self);
} verbs[] = {
    {"new", "new NAME --role executor|tool|broker   make a key on this machine, for this machine", make_key},
    {"allow", "allow ROLE:NAME:PUBLIC                 let a key connect to this machine's broker", allow_key},
    {"revoke", "revoke NAME                            let it no more, at once", revoke_key},
    {"list", "list                                   the keys of this machine, and the allowed ones",
     list_keys},
};

static void print_usage(void) {
    (void)printf("usage: sluice key VERB [OPTION...]\n\n");
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        (void)printf("  %s\n", verbs[i].usage);
    (void)printf(
        "\nKeys are in keysDir (--keysDir, by default keys in stateDir). The link they make is for executors "
        "and tools on other\nmachines: docs/REMOTE.md.\n");
}

static bool flag_takes_word(const char *word) {
    return strncmp(word, "--", 2) == 0 && strchr(word, '=') == NULL;
}

/* Takes the command's own words out; the rest are options for all programs. Returns their count. */
static int take_words(key_command_t *self, int argc, char **argv) {
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--role") == 0 && i + 1 < argc) {
            self->role = argv[++i];
        } else if (strncmp(argv[i], "--role=", 7) == 0) {
            self->role = argv[i] + 7;
        } else if (argv[i][0] != '-' && self->word_count < WORDS_MAX) {
            self->words[self->word_count++] = argv[i];
        } else {
            argv[kept++] = argv[i];
            if (flag_takes_word(argv[i]) && i + 1 < argc && argv[i + 1][0] != '-') argv[kept++] = argv[++i];
        }
    }
    argv[kept] = NULL;
    return kept;
}

int command_key(int argc, char **argv) {
    key_command_t self = {.why = ""};
    bool done = false;
    int code = EXIT_CONFIG;
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_usage();
        return argc < 2 ? EXIT_CONFIG : EXIT_CLEAN;
    }
    argc = take_words(&self, argc, argv);
    if (config_load(PROGRAM_TOOL, argc, argv, &self.config, &done, NULL, self.why) != 0) {
        program_complain("sluice", self.why);
        return EXIT_CONFIG;
    }
    if (done) return EXIT_CLEAN;
    (void)snprintf(self.why, sizeof self.why, "there is no `sluice key %.40s`; see sluice key --help",
                   self.word_count ? self.words[0] : "");
    for (size_t i = 0; self.word_count && i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(self.words[0], verbs[i].name) == 0) code = verbs[i].run(&self);
    if (code && self.why[0]) program_complain("sluice", self.why);
    config_destroy(&self.config);
    return code;
}
