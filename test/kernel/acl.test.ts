/**
 * Permissions on a mount of the real kernel: access lists as setfacl writes them and the kernel follows them, and the
 * server's own checks where the kernel is told not to make any. Other users are child processes.
 */
import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Mounted, mounted, skipReason, titled } from './mounted.ts';

const ANN = 1001;
const BOB = 1002;
const noTools = findNoTools();

function findNoTools(): string | undefined {
  try {
    execFileSync('setfacl', ['--version'], { stdio: 'pipe' });
    execFileSync('getfacl', ['--version'], { stdio: 'pipe' });
    return undefined;
  } catch {
    return 'no setfacl and getfacl: apt-get install acl';
  }
}

/** Whether a script works for somebody. */
function works(mount: Mounted, script: string, uid: number): boolean {
  try {
    mount.sh(script, uid);
    return true;
  } catch {
    return false;
  }
}

const why = skipReason ?? noTools;

// The kernel checks by the lists it reads from us; or we check, by the same lists.
describe.each([
  ['the kernel checks', 'allow_other'],
  ['the server checks', 'allow_other,no_default_permissions'],
])(
  skipReason === undefined && noTools !== undefined
    ? `access lists, %s [skipped: ${noTools}]`
    : titled('access lists, %s'),
  (_who, options) => {
    let mount: Mounted;
    beforeAll(async () => {
      if (why === undefined) mount = await mounted('memory', options);
    });
    afterAll(async () => {
      if (why !== undefined) return;
      const { code, stderr } = await mount.stop();
      expect([code, stderr]).toEqual([0, '']);
    });
    const acl = (name: string): string[] =>
      mount
        .sh(`getfacl -cnpE ${name}`)
        .split('\n')
        .filter((line) => line !== '');

    test.skipIf(why !== undefined)('getfacl shows what setfacl set, and the mode shows the mask', () => {
      mount.sh(`echo secret > shown; chmod 640 shown; setfacl -m u:${ANN}:rw,g:${BOB}:r shown`);
      expect(acl('shown')).toEqual([
        'user::rw-',
        `user:${ANN}:rw-`,
        'group::r--',
        `group:${BOB}:r--`,
        'mask::rw-',
        'other::---',
      ]);
      expect(mount.sh('stat -c %a shown')).toBe('660');
      expect(mount.sh('chmod 600 shown; stat -c %a shown; getfacl -cnpE shown | grep mask')).toBe('600\nmask::---');
      expect(mount.sh('setfacl -b shown; stat -c %a shown')).toBe('600');
      expect(acl('shown')).toEqual(['user::rw-', 'group::---', 'other::---']);
    });

    test.skipIf(why !== undefined)('a named user and a named group get in, others do not', () => {
      mount.sh(`echo secret > named; chmod 600 named; setfacl -m u:${ANN}:r,g:${BOB}:rw named`);
      expect([works(mount, 'cat named', ANN), works(mount, 'echo x >> named', ANN)]).toEqual([true, false]);
      expect([works(mount, 'cat named', BOB), works(mount, 'echo x >> named', BOB)]).toEqual([true, true]);
      expect([works(mount, 'cat named', 1003), works(mount, 'test -r named', 1003)]).toEqual([false, false]);
      mount.sh('setfacl -m m::r named');
      expect([works(mount, 'cat named', BOB), works(mount, 'echo x >> named', BOB)]).toEqual([true, false]);
    });

    test.skipIf(why !== undefined)('what is made under a default list inherits it, whatever the umask', () => {
      mount.sh(`mkdir heirs; setfacl -d -m u:${ANN}:rwx heirs; setfacl -m u:${ANN}:rwx heirs`);
      mount.sh('umask 077; echo x > heirs/f; mkdir heirs/d');
      expect(acl('heirs/f')).toEqual(['user::rw-', `user:${ANN}:rwx`, 'group::r-x', 'mask::rw-', 'other::r--']);
      expect(acl('heirs/d').filter((line) => line.startsWith('default:'))).toEqual([
        'default:user::rwx',
        `default:user:${ANN}:rwx`,
        'default:group::r-x',
        'default:mask::rwx',
        'default:other::r-x',
      ]);
      expect(works(mount, 'echo more >> heirs/f; echo y > heirs/d/g', ANN)).toBe(true);
      expect(works(mount, 'echo more >> heirs/f', BOB)).toBe(false);
      expect(mount.sh('setfacl -k heirs; umask 077; echo x > heirs/plain; stat -c %a heirs/plain')).toBe('600');
    });

    test.skipIf(why !== undefined)('only the owner sets a list, and no file has a default one', () => {
      mount.sh('echo x > own; chmod 666 own');
      expect(mount.fails(`setfacl -m u:${BOB}:r own`, ANN)).toMatch(/Operation not permitted/);
      expect(mount.fails('setfacl -d -m u::r own')).toMatch(/Only directories|Permission denied/);
    });

    test.skipIf(why !== undefined)('a list set by a stranger to the group costs the set-group-ID bit', () => {
      mount.sh(`echo x > sgid; chown ${ANN}:${BOB} sgid; chmod 2755 sgid`);
      mount.sh('setfacl -m o::r sgid', ANN);
      expect(mount.sh('stat -c %a sgid')).toBe('754');
    });

    test.skipIf(why !== undefined)('cp -a and tar carry lists along', () => {
      mount.sh(`mkdir from; setfacl -d -m u:${ANN}:rwx from; echo x > from/f; setfacl -m u:${BOB}:r from/f`);
      mount.sh('cp -a from copy; mkdir out; tar --acls -cf all.tar from; tar --acls -xpf all.tar -C out');
      for (const name of ['', '/f']) {
        expect([acl(`copy${name}`), acl(`out/from${name}`)]).toEqual([acl(`from${name}`), acl(`from${name}`)]);
      }
    });
  },
);

describe.each(['memory', 'dir'] as const)(titled('permissions of %s without default_permissions'), (kind) => {
  let mount: Mounted;
  beforeAll(async () => {
    if (skipReason === undefined)
      mount = await mounted(
        kind,
        'allow_other,no_default_permissions,mode=755'.replace(kind === 'dir' ? ',mode=755' : '', ''),
      );
  });
  afterAll(async () => {
    if (skipReason !== undefined) return;
    const { code, stderr } = await mount.stop();
    expect([code, stderr]).toEqual([0, '']);
  });

  test.skipIf(skipReason !== undefined)(
    'nobody walks through a directory by a name that somebody else looked up',
    () => {
      mount.sh('mkdir -p home/deep; echo x > home/deep/f; chmod 666 home/deep/f; chmod 700 home; cat home/deep/f');
      expect(mount.fails('cat home/deep/f', ANN)).toMatch(/Permission denied/);
      expect(mount.fails('ls home', ANN)).toMatch(/Permission denied/);
      mount.sh('chmod 711 home');
      expect(mount.sh('cat home/deep/f', ANN)).toBe('x');
      expect(mount.fails('ls home', ANN)).toMatch(/Permission denied/);
      expect(mount.sh('cat home/deep/f')).toBe('x');
    },
  );

  test.skipIf(skipReason !== undefined)('files open, change and go as modes and owners say', () => {
    mount.sh(`mkdir tmp; chmod 1777 tmp; echo x > tmp/root; chmod 644 tmp/root`);
    mount.sh('echo ann > tmp/ann; chmod 600 tmp/ann; ln -s ann tmp/link', ANN);
    expect(mount.sh('cat tmp/root; cat tmp/link', ANN)).toBe('x\nann');
    expect(mount.fails('echo y > tmp/root', ANN)).toMatch(/Permission denied/);
    expect(mount.fails('cat tmp/ann', BOB)).toMatch(/Permission denied/);
    for (const script of ['rm -f tmp/ann', 'mv tmp/ann tmp/bob', 'chmod 777 tmp/ann', `chown ${BOB} tmp/ann`]) {
      expect(mount.fails(script, BOB)).toMatch(/Operation not permitted|Permission denied/);
    }
    expect(mount.fails('touch tmp/ann', BOB)).toMatch(/Permission denied/);
    expect(mount.fails('touch -d 2001-01-01 tmp/root', BOB)).toMatch(/Operation not permitted|Permission denied/);
    expect(mount.fails('echo x > made', BOB)).toMatch(/Permission denied/);
    mount.sh('touch -d 2001-01-01 tmp/ann; chmod 640 tmp/ann; mv tmp/ann tmp/anna; rm tmp/anna tmp/link', ANN);
  });

  test.skipIf(skipReason !== undefined)('a program runs for who may execute it, readable or not', () => {
    mount.sh('cp /bin/true run; chmod 711 run; cp run norun; chmod 644 norun');
    expect([works(mount, './run', ANN), works(mount, 'cat run', ANN), works(mount, './norun', ANN)]).toEqual([
      true,
      false,
      false,
    ]);
    expect([works(mount, './run', 0), works(mount, './norun', 0)]).toEqual([true, false]);
  });

  test.skipIf(skipReason !== undefined)('a file that its maker may not write is written through what made it', () => {
    mount.sh('mkdir pub; chmod 777 pub');
    expect(mount.sh('umask 777; echo through > pub/f; chmod 400 pub/f; cat pub/f', ANN)).toBe('through');
    expect(mount.fails('echo again > pub/f', ANN)).toMatch(/Permission denied/);
    expect(mount.sh('test -r pub/f && test ! -w pub/f && test ! -x pub/f && echo right', ANN)).toBe('right');
  });
});
