# Locks as programs use them, in the working directory. Says one line per promise that is broken; "ok" if none is.
# Runs on any file system: what it asks is what tmpfs does.
import errno, fcntl, os, signal, struct, time

F_OFD_SETLK, F_OFD_SETLKW = 37, 38
broken = []


def check(what, is_kept):
    if not is_kept:
        broken.append(what)


def record(kind, start, size):
    return struct.pack('hhqqi4x', kind, os.SEEK_SET, start, size, 0)


def fails(work):
    """The name of the error that work raises."""
    try:
        work()
        return 'OK'
    except OSError as e:
        return errno.errorcode[e.errno]


def tries(fd, start, size, kind=fcntl.F_WRLCK, command=fcntl.F_SETLK):
    return fails(lambda: fcntl.fcntl(fd, command, record(kind, start, size)))


def holder(fd, start, size):
    """Who is in the way: kind, start, size, process."""
    got = fcntl.fcntl(fd, fcntl.F_GETLK, record(fcntl.F_WRLCK, start, size))
    kind, _, at, length, pid = struct.unpack('hhqqi4x', got)
    return None if kind == fcntl.F_UNLCK else (kind, at, length, pid)


class Child:
    """A process that does one thing, says what came of it, and stays until its end is asked for."""

    def __init__(self, work):
        go, self.go = os.pipe()
        self.said, said = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.go), os.close(self.said)
            signal.alarm(20)
            try:
                os.write(said, str(work()).encode())
                os.read(go, 1)
            finally:
                os._exit(0)
        os.close(go), os.close(said)

    def hear(self):
        return os.read(self.said, 1000).decode()

    def end(self):
        os.close(self.go)
        os.waitpid(self.pid, 0)
        os.close(self.said)


def opened(name):
    return os.open(name, os.O_RDWR | os.O_CREAT, 0o666)


signal.alarm(40)
busy = ('EAGAIN', 'EACCES')

# Ranges: split, joined, told of; a lock of size 0 reaches to the end.
fd = opened('ranges')
check('a process is not in its own way', tries(fd, 0, 100) == 'OK' and tries(fd, 50, 10) == 'OK')
fcntl.fcntl(fd, fcntl.F_SETLK, record(fcntl.F_UNLCK, 40, 20))
me = os.getpid()


def look():
    mine = opened('ranges')
    seen = [holder(mine, 0, 200), holder(mine, 40, 20), holder(mine, 60, 0)]
    return seen == [(fcntl.F_WRLCK, 0, 40, me), None, (fcntl.F_WRLCK, 60, 40, me)] and \
        [tries(mine, 39, 1) in busy, tries(mine, 40, 20), tries(mine, 59, 2) in busy, tries(mine, 100, 0)]


child = Child(look)
check('another process sees the ranges, and gets what is between', child.hear() == "[True, 'OK', True, 'OK']")
check('to the end is in the way of all that is behind', tries(fd, 10**12, 1) in busy)
child.end()
check('a process that has ended holds nothing', tries(fd, 10**12, 1) == 'OK')

# Readers share; a writer waits for all of them. A killed process holds nothing.
check('a write lock becomes a read lock', tries(fd, 0, 0, fcntl.F_RDLCK) == 'OK')
child = Child(lambda: [tries(opened('ranges'), 5, 5, fcntl.F_RDLCK), tries(opened('ranges'), 5, 5) in busy])
check('readers share, writers do not', child.hear() == "['OK', True]")
child.end()


def hold():
    mine = opened('killed')
    return tries(mine, 0, 0)


child = Child(hold)
child.hear()
other = opened('killed')
check('a held lock is held', tries(other, 0, 1) in busy)
os.kill(child.pid, signal.SIGKILL)
check('a waiting lock comes when the holder is killed', tries(other, 0, 1, command=fcntl.F_SETLKW) == 'OK')
os.waitpid(child.pid, 0)

# Closing any descriptor of a file drops all of the process's locks on it; not those of an OFD, and not flock's.
one, two = opened('closed'), opened('closed')
tries(one, 0, 0)
os.close(two)
child = Child(lambda: tries(opened('closed'), 0, 0))
check('closing any descriptor drops the locks', child.hear() == 'OK')
child.end()

# OFD locks belong to the open file: two of one process exclude each other, a fork shares it.
one, two = opened('ofd'), opened('ofd')
check('an OFD lock', tries(one, 0, 10, command=F_OFD_SETLK) == 'OK')
check('is in the way of another open file of the process', tries(two, 5, 1, command=F_OFD_SETLK) in busy)
check('and of a POSIX lock', tries(two, 5, 1) in busy)
third = opened('ofd')
os.close(third)
check('and stays when another descriptor is closed', tries(two, 5, 1, command=F_OFD_SETLK) in busy)
copy = os.dup(one)
os.close(one)
check('and when one of its own is', tries(two, 5, 1, command=F_OFD_SETLK) in busy)
os.close(copy)
check('and goes with the last', tries(two, 5, 1, command=F_OFD_SETLK) == 'OK')

# Two that wait for each other: the second is told.
a = opened('dead')
tries(a, 0, 1)


def cross():
    mine = opened('dead')
    first = tries(mine, 1, 1)
    os.write(ready, b'x')
    return [first, tries(mine, 0, 1, command=fcntl.F_SETLKW)]


heard, ready = os.pipe()
child = Child(cross)
os.read(heard, 1)
time.sleep(0.2)
check('EDEADLK for who closes the circle', tries(a, 1, 1, command=fcntl.F_SETLKW) in ('EDEADLK', 'EDEADLOCK'))
tries(a, 0, 1, fcntl.F_UNLCK)
check('and the other goes on', child.hear() == "['OK', 'OK']")
child.end()


class Stopped(Exception):
    pass


def interrupted(work):
    """Whether a signal ends the wait."""
    def stop(*_):
        raise Stopped
    signal.signal(signal.SIGUSR1, stop)
    try:
        work()
        return 'OK'
    except Stopped:
        return 'EINTR'


# A signal ends the waiting, and leaves nothing: for fcntl and for flock.
for name, lock in [('fcntl', lambda f: fcntl.lockf(f, fcntl.LOCK_EX)), ('flock', lambda f: fcntl.flock(f, fcntl.LOCK_EX))]:
    fd = opened(name)
    lock(fd)
    child = Child(lambda: interrupted(lambda: lock(opened(name))))
    time.sleep(0.3)
    os.kill(child.pid, signal.SIGUSR1)
    check(f'a signal ends waiting in {name}', child.hear() == 'EINTR')
    # It has our open file, too, and with that flock's lock.
    child.end()
    os.close(fd)
    fd = opened(name)
    started = time.monotonic()
    lock(fd)
    check(f'who was interrupted in {name} holds nothing', time.monotonic() - started < 5)
    child = Child(lambda: interrupted(lambda: lock(opened(name))))
    time.sleep(0.3)
    os.kill(child.pid, signal.SIGKILL)
    os.waitpid(child.pid, 0)
    os.close(fd)
    check(f'who was killed in {name} holds nothing', interrupted(lambda: lock(opened(name))) == 'OK')

# flock: by open file, shared with a fork, converted, gone with the last descriptor.
def tries_flock(fd, how):
    return fails(lambda: fcntl.flock(fd, how | fcntl.LOCK_NB))


fd, other = opened('shared'), opened('shared')
check('flock', tries_flock(fd, fcntl.LOCK_SH) == 'OK')
check('flock is shared by readers', tries_flock(other, fcntl.LOCK_SH) == 'OK')
check('flock is not raised against a reader', tries_flock(fd, fcntl.LOCK_EX) == 'EAGAIN')
fcntl.flock(other, fcntl.LOCK_UN)
# Raising drops the lock first, as Linux does.
tries_flock(fd, fcntl.LOCK_SH)
child = Child(lambda: [tries_flock(opened('shared'), fcntl.LOCK_EX), tries_flock(fd, fcntl.LOCK_EX)])
check('flock is exclusive, and inherited', child.hear() == "['EAGAIN', 'OK']")
check('flock excludes another open file of the process', tries_flock(other, fcntl.LOCK_SH) == 'EAGAIN')
os.close(fd)
check('flock stays while a child has it', tries_flock(other, fcntl.LOCK_SH) == 'EAGAIN')
child.end()
check('flock goes with the last descriptor', tries_flock(other, fcntl.LOCK_EX) == 'OK')

print('\n'.join(broken) or 'ok')
