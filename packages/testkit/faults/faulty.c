/*
 * A PKCS#11 module that loads a real one (FAULTY_MODULE), hands out a copy of its function list, and does damage on the way
 * by the rules in FAULTY_RULES, which is read again when it changes. One rule a line:
 *
 *   FUNCTION ACTION [ARGUMENT] [skip=N] [count=N] [percent=N] [input=N]
 *
 * percent is exact: it picks N of every hundred calls of the function, spread evenly, so that a few calls meet it too.
 *
 * input=N: only for calls with that many bytes of input (C_Sign, C_Encrypt, C_Decrypt): 32 is a nonce, 11 a check value.
 *
 *   return CODE     don't call the module, return CODE
 *   delay MS        sleep, then call
 *   hang            never return
 *   abort           kill the process by SIGABRT
 *   flip            call, then flip a bit of the output
 *   length N        call, then say the output has N bytes
 *   zero, constant, ascending     call, then overwrite the output: zeros, the same random-looking bytes, 00 01 02 …
 *   halves, repeat, narrow        call, then copy the first half over the second; its first 8 bytes over all; keep 1 bit of each byte
 *   previous        call, then answer what the call before answered (of this process)
 *   echo            call, then answer with the input; C_Decrypt without its last 16 bytes, and CKR_OK whatever the tag
 *   existing        (C_GenerateKey) make nothing, hand out the key that was found last
 *   logout, closeall, finalize    do that underneath for real, then call
 *   readonly CODE   (C_OpenSession) return CODE unless the session is to be read-write
 *
 * FAULTY_MAX_SESSIONS is what the token then says an application may have. FAULTY_MANUFACTURER and FAULTY_LIBRARY are what token and library then call themselves: another vendor's, for its profile.
 *
 * FAULTY_STATE is a file of 8-byte counters shared by all processes: the first 64 say how often each rule matched, the next
 * ones how often each function was called, in the order of the list below.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_RULES 64
#define STATE_COUNTERS 128

static const char *const FUNCTIONS[] = {
    "C_Initialize", "C_Finalize",     "C_OpenSession", "C_CloseSession", "C_GetSessionInfo", "C_Login",
    "C_Logout",     "C_FindObjectsInit", "C_FindObjects", "C_SignInit",  "C_Sign",           "C_EncryptInit",
    "C_Encrypt",    "C_DecryptInit",  "C_Decrypt",     "C_GenerateKey",  "C_GetTokenInfo",   "C_GetSlotList",
};
enum { INITIALIZE, FINALIZE, OPEN, CLOSE, INFO, LOGIN, LOGOUT, FINDINIT, FIND, SIGNINIT, SIGN, ENCINIT, ENC, DECINIT, DEC,
       GENERATE, TOKENINFO, SLOTLIST, FUNCTION_COUNT };

struct rule {
  int function;
  char action[16];
  unsigned long argument, skip, count, percent, input;
};

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR real;
static unsigned long *state;
static struct rule rules[MAX_RULES];
static int rule_count;
static struct timespec read_at;
static ino_t read_inode;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int function_of(const char *name) {
  for (int i = 0; i < FUNCTION_COUNT; i++)
    if (strcmp(FUNCTIONS[i], name) == 0) return i;
  return -1;
}

static void read_rules(void) {
  const char *path = getenv("FAULTY_RULES");
  struct stat st;
  if (path == NULL || stat(path, &st) != 0) return;
  if (st.st_ino == read_inode && st.st_mtim.tv_sec == read_at.tv_sec && st.st_mtim.tv_nsec == read_at.tv_nsec) return;
  FILE *file = fopen(path, "r");
  if (file == NULL) return;
  read_at = st.st_mtim;
  read_inode = st.st_ino;
  rule_count = 0;
  char line[256];
  while (rule_count < MAX_RULES && fgets(line, sizeof line, file) != NULL) {
    struct rule r = {.function = -1, .percent = 100};
    int field = 0;
    char *rest = NULL;
    for (char *word = strtok_r(line, " \n", &rest); word != NULL; word = strtok_r(NULL, " \n", &rest), field++) {
      if (field == 0) r.function = function_of(word);
      else if (field == 1) snprintf(r.action, sizeof r.action, "%s", word);
      else if (strncmp(word, "skip=", 5) == 0) r.skip = strtoul(word + 5, NULL, 0);
      else if (strncmp(word, "count=", 6) == 0) r.count = strtoul(word + 6, NULL, 0);
      else if (strncmp(word, "input=", 6) == 0) r.input = strtoul(word + 6, NULL, 0);
      else if (strncmp(word, "percent=", 8) == 0) r.percent = strtoul(word + 8, NULL, 0);
      else r.argument = strtoul(word, NULL, 0);
    }
    if (field >= 2) rules[rule_count++] = r;
  }
  fclose(file);
}

/* Copies the rule to apply to this call into `out`; false when there is none. */
static int matching(int function, unsigned long input, struct rule *out) {
  int found = 0;
  pthread_mutex_lock(&lock);
  read_rules();
  unsigned long call = __atomic_fetch_add(&state[MAX_RULES + function], 1, __ATOMIC_SEQ_CST);
  for (int i = 0; i < rule_count && !found; i++) {
    struct rule *r = &rules[i];
    if (r->function != function || (r->input > 0 && r->input != input) || call * 37 % 100 >= r->percent) continue;
    unsigned long hits = __atomic_fetch_add(&state[i], 1, __ATOMIC_SEQ_CST);
    if (hits < r->skip || (r->count > 0 && hits >= r->skip + r->count)) continue;
    *out = *r;
    found = 1;
  }
  pthread_mutex_unlock(&lock);
  return found;
}

static int is(const struct rule *r, const char *action) { return strcmp(r->action, action) == 0; }

/* What happens before the call; true when there is to be none, and `*result` is the answer. */
static int before(int function, unsigned long input, struct rule *r, CK_SESSION_HANDLE session, CK_RV *result) {
  r->action[0] = 0;
  if (!matching(function, input, r)) return 0;
  if (is(r, "return")) {
    *result = r->argument;
    return 1;
  }
  if (is(r, "delay")) usleep(r->argument * 1000);
  if (is(r, "hang")) for (;;) pause();
  if (is(r, "abort")) abort();
  if (is(r, "logout")) real->C_Logout(session);
  if (is(r, "finalize")) real->C_Finalize(NULL);
  if (is(r, "closeall")) {
    CK_SESSION_INFO info;
    if (real->C_GetSessionInfo(session, &info) == CKR_OK) real->C_CloseAllSessions(info.slotID);
  }
  return 0;
}

static const CK_BYTE CONSTANT[32] = {0x3b, 0xc1, 0x5e, 0x07, 0xf2, 0x98, 0x6d, 0xa4, 0x19, 0xe0, 0x83, 0x55, 0xbe, 0x2c, 0x71, 0xd6,
                                     0x4f, 0x9a, 0x10, 0xe7, 0x6b, 0xc8, 0x3d, 0x82, 0xfd, 0x26, 0x95, 0x40, 0xab, 0x7e, 0x04, 0xdb};

/* Exchanges the output with what the call before left. */
static void exchange(CK_BYTE_PTR out, size_t length) {
  static CK_BYTE last[256];
  CK_BYTE mine[256];
  if (length > sizeof last) return;
  pthread_mutex_lock(&lock);
  memcpy(mine, out, length);
  memcpy(out, last, length);
  memcpy(last, mine, length);
  pthread_mutex_unlock(&lock);
}

static void after(const struct rule *r, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR length) {
  if (out == NULL || length == NULL) return;
  if (is(r, "zero")) memset(out, 0, *length);
  for (CK_ULONG i = 0; i < *length; i++) {
    if (is(r, "constant")) out[i] = CONSTANT[i % sizeof CONSTANT];
    if (is(r, "ascending")) out[i] = (CK_BYTE)i;
    if (is(r, "narrow")) out[i] &= 1;
    if (is(r, "repeat")) out[i] = out[i % 8];
    if (is(r, "echo")) out[i] = i < n ? in[i] : 0;
  }
  if (is(r, "halves")) memcpy(out + *length / 2, out, *length / 2);
  if (is(r, "previous")) exchange(out, *length);
  if (is(r, "flip") && *length > 3) out[3] ^= 0x10;
  if (is(r, "length")) *length = r->argument;
}

/* Blank-padded, as Cryptoki's texts are. */
static void rename_to(const char *variable, CK_UTF8CHAR *text, size_t size) {
  const char *name = getenv(variable);
  if (name == NULL) return;
  memset(text, ' ', size);
  memcpy(text, name, strnlen(name, size));
}

#define CALL_WITH(FUNCTION, INPUT, SESSION, EXPRESSION)                \
  struct rule r;                                                       \
  CK_RV result;                                                        \
  if (before(FUNCTION, INPUT, &r, SESSION, &result)) return result;    \
  result = EXPRESSION
#define CALL(FUNCTION, SESSION, EXPRESSION) CALL_WITH(FUNCTION, 0, SESSION, EXPRESSION)

#define PLAIN(FUNCTION, SESSION, EXPRESSION) { CALL(FUNCTION, SESSION, EXPRESSION); return result; }
#define OUTPUT(FUNCTION, SESSION, EXPRESSION)           \
  {                                                     \
    CALL_WITH(FUNCTION, n, SESSION, EXPRESSION);        \
    if (result == CKR_OK) after(&r, in, n, out, length); \
    return result;                                      \
  }

static CK_RV initialize(CK_VOID_PTR args) PLAIN(INITIALIZE, 0, real->C_Initialize(args))
static CK_RV finalize(CK_VOID_PTR reserved) PLAIN(FINALIZE, 0, real->C_Finalize(reserved))
static CK_RV slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count)
    PLAIN(SLOTLIST, 0, real->C_GetSlotList(present, slots, count))
static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  CALL(TOKENINFO, 0, real->C_GetTokenInfo(slot, info));
  if (result != CKR_OK) return result;
  rename_to("FAULTY_MANUFACTURER", info->manufacturerID, sizeof info->manufacturerID);
  const char *sessions = getenv("FAULTY_MAX_SESSIONS");
  if (sessions != NULL) info->ulMaxSessionCount = strtoul(sessions, NULL, 0);
  return result;
}
static CK_RV library_info(CK_INFO_PTR info) {
  CK_RV result = real->C_GetInfo(info);
  if (result == CKR_OK) rename_to("FAULTY_LIBRARY", info->libraryDescription, sizeof info->libraryDescription);
  return result;
}
static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR app, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR s) {
  CALL(OPEN, 0, is(&r, "readonly") && (flags & CKF_RW_SESSION) == 0 ? r.argument : real->C_OpenSession(slot, flags, app, notify, s));
  return result;
}
static CK_RV close_session(CK_SESSION_HANDLE s) PLAIN(CLOSE, s, real->C_CloseSession(s))
static CK_RV session_info(CK_SESSION_HANDLE s, CK_SESSION_INFO_PTR info) PLAIN(INFO, s, real->C_GetSessionInfo(s, info))
static CK_RV login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG n)
    PLAIN(LOGIN, s, real->C_Login(s, user, pin, n))
static CK_RV logout(CK_SESSION_HANDLE s) PLAIN(LOGOUT, s, real->C_Logout(s))
static CK_RV find_init(CK_SESSION_HANDLE s, CK_ATTRIBUTE_PTR a, CK_ULONG n) PLAIN(FINDINIT, s, real->C_FindObjectsInit(s, a, n))
static CK_OBJECT_HANDLE found_last;
static CK_RV find(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE_PTR o, CK_ULONG max, CK_ULONG_PTR n) {
  CALL(FIND, s, real->C_FindObjects(s, o, max, n));
  if (result == CKR_OK && *n > 0) found_last = o[*n - 1];
  return result;
}
static CK_RV sign_init(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k) PLAIN(SIGNINIT, s, real->C_SignInit(s, m, k))
static CK_RV sign(CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR length)
    OUTPUT(SIGN, s, real->C_Sign(s, in, n, out, length))
static CK_RV encrypt_init(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k) PLAIN(ENCINIT, s, real->C_EncryptInit(s, m, k))
static CK_RV encrypt(CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR length)
    OUTPUT(ENC, s, real->C_Encrypt(s, in, n, out, length))
static CK_RV decrypt_init(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_OBJECT_HANDLE k) PLAIN(DECINIT, s, real->C_DecryptInit(s, m, k))
static CK_RV decrypt(CK_SESSION_HANDLE s, CK_BYTE_PTR in, CK_ULONG n, CK_BYTE_PTR out, CK_ULONG_PTR length) {
  CALL_WITH(DEC, n, s, real->C_Decrypt(s, in, n, out, length));
  /* Opening by doing nothing finds every tag right. */
  if (is(&r, "echo") && out != NULL && n >= 16) {
    result = CKR_OK;
    *length = n - 16;
  }
  if (result == CKR_OK) after(&r, in, n, out, length);
  return result;
}
static CK_RV generate(CK_SESSION_HANDLE s, CK_MECHANISM_PTR m, CK_ATTRIBUTE_PTR a, CK_ULONG n, CK_OBJECT_HANDLE_PTR k) {
  CALL(GENERATE, s, is(&r, "existing") ? (*k = found_last, CKR_OK) : real->C_GenerateKey(s, m, a, n, k));
  return result;
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR out) {
  if (real == NULL) {
    const char *path = getenv("FAULTY_MODULE"), *state_path = getenv("FAULTY_STATE");
    void *module = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = module == NULL ? NULL : (CK_C_GetFunctionList)dlsym(module, "C_GetFunctionList");
    int fd = state_path == NULL ? -1 : open(state_path, O_RDWR);
    if (get == NULL || fd < 0 || get(&real) != CKR_OK) return CKR_GENERAL_ERROR;
    state = mmap(NULL, STATE_COUNTERS * sizeof *state, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (state == MAP_FAILED) return CKR_GENERAL_ERROR;
    list = *real;
    list.C_GetFunctionList = C_GetFunctionList;
    list.C_Initialize = initialize;
    list.C_Finalize = finalize;
    list.C_GetSlotList = slot_list;
    list.C_GetTokenInfo = token_info;
    list.C_GetInfo = library_info;
    list.C_OpenSession = open_session;
    list.C_CloseSession = close_session;
    list.C_GetSessionInfo = session_info;
    list.C_Login = login;
    list.C_Logout = logout;
    list.C_FindObjectsInit = find_init;
    list.C_FindObjects = find;
    list.C_SignInit = sign_init;
    list.C_Sign = sign;
    list.C_EncryptInit = encrypt_init;
    list.C_Encrypt = encrypt;
    list.C_DecryptInit = decrypt_init;
    list.C_Decrypt = decrypt;
    list.C_GenerateKey = generate;
  }
  *out = &list;
  return CKR_OK;
}
