/*
 * A small file system in memory over libfuse's low-level API, served as raw FUSE on a Unix stream socket to one client.
 * Nodeids and file handles are addresses, so that wrong ones crash it. It counts what a client must give back, and says
 * at the end what it counted, as one line of JSON.
 *
 * Usage: hello-server SOCKET [OPERATION-THAT-IS-LACKING ...]     (create, readdirplus, lseek, open, opendir, forget_multi)
 * Build: gcc hello-server.c -o hello-server $(pkg-config --cflags --libs fuse3)
 */
#define _GNU_SOURCE
#define FUSE_USE_VERSION 314
#include <assert.h>
#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct node {
  struct node *parent, *next, *children; /* next: in the parent's list, which `children` starts */
  char *name;                            /* NULL: unlinked */
  struct stat attr;
  char *data;
  uint64_t lookups, opens;
};

struct counts {
  uint64_t lookups, forgets, opens, releases, opendirs, releasedirs, inits, destroys, reads, writes;
};

static struct node root;
static struct counts counts;
static uint64_t nodes = 1, next_ino = 2;

static struct node *node_of(fuse_ino_t ino) { return ino == FUSE_ROOT_ID ? &root : (struct node *)(uintptr_t)ino; }

static struct node *child_of(struct node *parent, const char *name) {
  for (struct node *n = parent->children; n != NULL; n = n->next)
    if (strcmp(n->name, name) == 0) return n;
  return NULL;
}

static void free_unused(struct node *n) {
  if (n == &root || n->name != NULL || n->lookups > 0 || n->opens > 0) return;
  free(n->data);
  free(n);
  nodes--;
}

static void link_node(struct node *n, struct node *parent, const char *name) {
  n->name = strdup(name);
  n->parent = parent;
  n->next = parent->children;
  parent->children = n;
}

static void unlink_node(struct node *n) {
  struct node **at = &n->parent->children;
  while (*at != n) at = &(*at)->next;
  *at = n->next;
  free(n->name);
  n->name = NULL;
  free_unused(n);
}

static struct node *make(fuse_req_t req, struct node *parent, const char *name, mode_t mode) {
  const struct fuse_ctx *ctx = fuse_req_ctx(req);
  struct node *n = calloc(1, sizeof *n);
  n->attr.st_ino = next_ino++;
  n->attr.st_mode = mode & ~ctx->umask;
  n->attr.st_nlink = S_ISDIR(mode) ? 2 : 1;
  n->attr.st_uid = ctx->uid;
  n->attr.st_gid = ctx->gid;
  n->attr.st_blksize = 4096;
  link_node(n, parent, name);
  nodes++;
  return n;
}

static void resize(struct node *n, size_t size) {
  n->data = realloc(n->data, size + 1);
  if (size > (size_t)n->attr.st_size) memset(n->data + n->attr.st_size, 0, size - n->attr.st_size);
  n->attr.st_size = size;
  n->attr.st_blocks = (size + 511) / 512;
}

static struct fuse_entry_param entry_of(struct node *n) {
  struct fuse_entry_param e = {.ino = (uintptr_t)n, .attr = n->attr, .attr_timeout = 1.0, .entry_timeout = 1.0};
  if (n != &root) n->lookups++;
  if (n != &root) counts.lookups++;
  return e;
}

static void reply_entry(fuse_req_t req, struct node *n) {
  struct fuse_entry_param e = entry_of(n);
  fuse_reply_entry(req, &e);
}

static void op_init(void *data, struct fuse_conn_info *conn) {
  (void)data, (void)conn;
  counts.inits++;
}

static void op_destroy(void *data) {
  (void)data;
  counts.destroys++;
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name) {
  struct node *n = child_of(node_of(parent), name);
  if (n == NULL) fuse_reply_err(req, ENOENT);
  else reply_entry(req, n);
}

static void forget(fuse_ino_t ino, uint64_t nlookup) {
  struct node *n = node_of(ino);
  assert(n != &root && n->lookups >= nlookup);
  n->lookups -= nlookup;
  counts.forgets += nlookup;
  free_unused(n);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup) {
  forget(ino, nlookup);
  fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets) {
  for (size_t i = 0; i < count; i++) forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(req);
}

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  (void)fi;
  fuse_reply_attr(req, &node_of(ino)->attr, 1.0);
}

static void op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi) {
  struct node *n = node_of(ino);
  (void)fi;
  if (to_set & FUSE_SET_ATTR_MODE) n->attr.st_mode = (n->attr.st_mode & S_IFMT) | (attr->st_mode & 07777);
  if (to_set & FUSE_SET_ATTR_UID) n->attr.st_uid = attr->st_uid;
  if (to_set & FUSE_SET_ATTR_GID) n->attr.st_gid = attr->st_gid;
  if (to_set & FUSE_SET_ATTR_SIZE) resize(n, attr->st_size);
  if (to_set & FUSE_SET_ATTR_MTIME) n->attr.st_mtim = attr->st_mtim;
  fuse_reply_attr(req, &n->attr, 1.0);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev) {
  (void)rdev;
  if (child_of(node_of(parent), name) != NULL) fuse_reply_err(req, EEXIST);
  else reply_entry(req, make(req, node_of(parent), name, mode));
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode) {
  op_mknod(req, parent, name, S_IFDIR | mode, 0);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name) {
  struct node *n = child_of(node_of(parent), name);
  if (n != NULL) unlink_node(n);
  fuse_reply_err(req, n == NULL ? ENOENT : 0);
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name) {
  struct node *n = child_of(node_of(parent), name);
  if (n != NULL && n->children != NULL) fuse_reply_err(req, ENOTEMPTY);
  else op_unlink(req, parent, name);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent, const char *newname,
                      unsigned int flags) {
  struct node *n = child_of(node_of(parent), name);
  struct node *old = child_of(node_of(newparent), newname);
  if (flags != 0) fuse_reply_err(req, EINVAL);
  else if (n == NULL) fuse_reply_err(req, ENOENT);
  else {
    n->lookups++; /* keeps it while it has no name */
    if (old != NULL && old != n) unlink_node(old);
    unlink_node(n);
    link_node(n, node_of(newparent), newname);
    n->lookups--;
    fuse_reply_err(req, 0);
  }
}

static void opened(struct node *n, struct fuse_file_info *fi) {
  fi->fh = (uintptr_t)n;
  n->opens++;
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  counts.opens++;
  opened(node_of(ino), fi);
  if (fi->flags & O_TRUNC) resize(node_of(ino), 0);
  fuse_reply_open(req, fi);
}

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  counts.opendirs++;
  opened(node_of(ino), fi);
  fuse_reply_open(req, fi);
}

static void op_lacking_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  (void)ino, (void)fi;
  fuse_reply_err(req, ENOSYS);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi) {
  struct node *n = child_of(node_of(parent), name);
  if (n == NULL) n = make(req, node_of(parent), name, S_IFREG | mode);
  counts.opens++;
  opened(n, fi);
  struct fuse_entry_param e = entry_of(n);
  fuse_reply_create(req, &e, fi);
}

static void closed(fuse_req_t req, struct fuse_file_info *fi) {
  struct node *n = (struct node *)(uintptr_t)fi->fh;
  assert(n->opens > 0);
  n->opens--;
  free_unused(n);
  fuse_reply_err(req, 0);
}

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  (void)ino;
  counts.releases++;
  closed(req, fi);
}

static void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi) {
  (void)ino;
  counts.releasedirs++;
  closed(req, fi);
}

static void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi) {
  struct node *n = node_of(ino);
  size_t have = off < n->attr.st_size ? (size_t)(n->attr.st_size - off) : 0;
  (void)fi;
  counts.reads++;
  fuse_reply_buf(req, have > 0 ? n->data + off : NULL, have < size ? have : size);
}

static void op_write(fuse_req_t req, fuse_ino_t ino, const char *buf, size_t size, off_t off,
                     struct fuse_file_info *fi) {
  struct node *n = node_of(ino);
  (void)fi;
  counts.writes++;
  if (off + (off_t)size > n->attr.st_size) resize(n, off + size);
  memcpy(n->data + off, buf, size);
  fuse_reply_write(req, size);
}

/* Offsets are positions in the list; 0 and 1 are "." and "..", with a nodeid in READDIRPLUS that counts no lookup. */
static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, int plus) {
  struct node *dir = node_of(ino), *n = dir->children;
  char *buf = malloc(size);
  size_t used = 0;
  for (off_t pos = 0; pos < 2 || n != NULL; pos++) {
    struct node *at = pos < 2 ? dir : n;
    const char *name = pos == 0 ? "." : pos == 1 ? ".." : n->name;
    if (pos >= 2) n = n->next;
    if (pos < off) continue;
    struct fuse_entry_param e = {.ino = (uintptr_t)at, .attr = at->attr, .attr_timeout = 1.0, .entry_timeout = 1.0};
    size_t one = plus ? fuse_add_direntry_plus(req, buf + used, size - used, name, &e, pos + 1)
                      : fuse_add_direntry(req, buf + used, size - used, name, &at->attr, pos + 1);
    if (one > size - used) break;
    used += one;
    if (plus && pos >= 2) entry_of(at);
  }
  fuse_reply_buf(req, buf, used);
  free(buf);
}

static void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi) {
  (void)fi;
  list(req, ino, size, off, 0);
}

static void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi) {
  (void)fi;
  list(req, ino, size, off, 1);
}

static void op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi) {
  struct node *n = node_of(ino);
  (void)fi;
  if (off >= n->attr.st_size) fuse_reply_err(req, ENXIO);
  else fuse_reply_lseek(req, whence == SEEK_DATA ? off : n->attr.st_size);
}

static struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .destroy = op_destroy,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .rename = op_rename,
    .open = op_open,
    .opendir = op_opendir,
    .create = op_create,
    .release = op_release,
    .releasedir = op_releasedir,
    .read = op_read,
    .write = op_write,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .lseek = op_lseek,
};

static void lack(const char *name) {
  if (strcmp(name, "create") == 0) ops.create = NULL;
  else if (strcmp(name, "readdirplus") == 0) ops.readdirplus = NULL;
  else if (strcmp(name, "lseek") == 0) ops.lseek = NULL;
  else if (strcmp(name, "forget_multi") == 0) ops.forget_multi = NULL;
  else if (strcmp(name, "open") == 0) ops.open = op_lacking_open;
  else if (strcmp(name, "opendir") == 0) ops.opendir = op_lacking_open;
  else assert(!"an operation that can be left out");
}

/* libfuse wants whole messages: the header's `len` says how much that is. */
static ssize_t read_message(int fd, void *buf, size_t room, void *data) {
  uint32_t len = 0;
  size_t have = 0, want = sizeof len;
  (void)data;
  while (have < want) {
    ssize_t n = read(fd, (char *)buf + have, want - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      errno = ENODEV;
      return -1;
    }
    have += n;
    if (len == 0 && have == sizeof len) {
      memcpy(&len, buf, sizeof len);
      assert(len >= sizeof len && len <= room);
      want = len;
    }
  }
  return have;
}

static ssize_t write_message(int fd, struct iovec *iov, int count, void *data) {
  ssize_t all = 0;
  (void)data;
  for (int i = 0; i < count; i++) {
    for (size_t done = 0; done < iov[i].iov_len;) {
      ssize_t n = send(fd, (char *)iov[i].iov_base + done, iov[i].iov_len - done, MSG_NOSIGNAL);
      if (n < 0) return -1;
      done += n;
    }
    all += iov[i].iov_len;
  }
  return all;
}

static int accept_one(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  assert(strlen(path) < sizeof address.sun_path);
  strcpy(address.sun_path, path);
  assert(bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0);
  puts("listening");
  fflush(stdout);
  int fd = accept(listener, NULL, NULL);
  close(listener);
  unlink(path);
  return fd;
}

int main(int argc, char **argv) {
  assert(argc >= 2);
  for (int i = 2; i < argc; i++) lack(argv[i]);
  root.attr = (struct stat){.st_ino = 1, .st_mode = S_IFDIR | 0755, .st_nlink = 2, .st_blksize = 4096};
  root.name = "";
  char *no_args[] = {"hello-server", NULL};
  struct fuse_args args = FUSE_ARGS_INIT(1, no_args);
  struct fuse_session *session = fuse_session_new(&args, &ops, sizeof ops, NULL);
  struct fuse_custom_io io = {.writev = write_message, .read = read_message};
  assert(session != NULL && fuse_session_custom_io(session, &io, accept_one(argv[1])) == 0);
  int result = fuse_session_loop(session);
  fuse_session_destroy(session);
#define COUNT(name) printf("\"%s\":%llu,", #name, (unsigned long long)counts.name)
  putchar('{');
  COUNT(lookups), COUNT(forgets), COUNT(opens), COUNT(releases), COUNT(opendirs), COUNT(releasedirs);
  COUNT(inits), COUNT(destroys), COUNT(reads), COUNT(writes);
  printf("\"nodes\":%llu}\n", (unsigned long long)nodes);
  return result != 0;
}
